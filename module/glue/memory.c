// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for regions, unpinned ranges, accounts and names; charged to the caller's memory cgroup.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "account.h"
#include "memory.h"
#include "probes.h"

const u32 ashmem_page_shift = PAGE_SHIFT;

static struct kmem_cache *region_cache;
static struct kmem_cache *range_cache;

#ifdef ASHMEM_FAULTS
/* Only in builds for the tests: every n-th allocation fails. */
static unsigned int fail_every;
module_param(fail_every, uint, 0644);
static atomic_t allocations;

static bool refused(void)
{
	unsigned int every = READ_ONCE(fail_every);

	return every && (unsigned int)atomic_inc_return(&allocations) % every == 0;
}
#else
static inline bool refused(void)
{
	return false;
}
#endif

struct ashmem_region *ashmem_region_alloc(void)
{
	return refused() ? NULL : kmem_cache_alloc(region_cache, GFP_KERNEL);
}

void ashmem_region_free(struct ashmem_region *region)
{
	kmem_cache_free(region_cache, region);
}

/*
 * A region is freed with its mutex unlocked, so the mutex is made once for each place in the cache.
 */
static void construct_region(void *memory)
{
	mutex_init(&((struct region_memory *)memory)->lock);
}

struct ashmem_range *ashmem_range_alloc(void)
{
	return refused() ? NULL : kmem_cache_alloc(range_cache, GFP_KERNEL);
}

void ashmem_range_free(struct ashmem_range *range)
{
	kmem_cache_free(range_cache, range);
}

struct ashmem_account *ashmem_account_alloc(struct list_lru *lru)
{
	BUILD_BUG_ON(sizeof(struct ashmem_account) > ASHMEM_RANGE_BYTES);
#ifdef ASHMEM_HAS_ALLOC_LRU
	return kmem_cache_alloc_lru(range_cache, lru, GFP_KERNEL | __GFP_ZERO);
#else
	return kmem_cache_zalloc(range_cache, GFP_KERNEL);
#endif
}

void ashmem_account_free(struct ashmem_account *account)
{
	kmem_cache_free(range_cache, account);
}

void *ashmem_name_alloc(size_t bytes)
{
	return refused() ? NULL : kmalloc(bytes, GFP_KERNEL_ACCOUNT);
}

void ashmem_name_free(void *name)
{
	kfree(name);
}

int ashmem_memory_init(void)
{
	region_cache = kmem_cache_create("ashmem_region", sizeof(struct region_memory), 0,
					 SLAB_ACCOUNT, construct_region);
	if (!region_cache)
		return -ENOMEM;
	range_cache = kmem_cache_create("ashmem_range", ASHMEM_RANGE_BYTES, 0, SLAB_ACCOUNT, NULL);
	if (!range_cache) {
		kmem_cache_destroy(region_cache);
		return -ENOMEM;
	}
	return 0;
}

void ashmem_memory_exit(void)
{
	ashmem_accounts_exit();
	kmem_cache_destroy(range_cache);
	kmem_cache_destroy(region_cache);
}
