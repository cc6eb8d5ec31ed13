// SPDX-License-Identifier: GPL-2.0
/*
 * A memory cgroup at its limit gets its own unpinned pages back before a process of it is killed
 * for memory.
 *
 * A region belongs to the memory cgroup of the process that opened it. The kernel asks a shrinker
 * for a cgroup only where an object that is charged to that cgroup was once put into the shrinker's
 * list_lru: the cgroup's account is, and is taken out again. The workers of shrinker.c purge for
 * all cgroups that wait at the same time, on one way through the order.
 */
#include <linux/memcontrol.h>
#include <linux/list_lru.h> /* knows no types by itself */
#include <linux/module.h>
#include <linux/shrinker.h>
#include <linux/swap.h>

#include "account.h"
#include "probes.h"

#ifdef CONFIG_MEMCG

#define ASHMEM_SHRINKER_NAME "android-ashmem-cgroup"
/* A cgroup with room for fewer pages than this, 4 MiB, is at its limit. */
#define ROOM (4UL << 20 >> PAGE_SHIFT)

static struct list_lru announced;
static struct shrinker *shrinker;
/* Both are there. */
static bool ready;

/*
 * No two cgroups of a boot have the same number. 0 for the machine's own, which the first shrinker
 * serves.
 */
static u64 number(struct mem_cgroup *memcg)
{
	return memcg && memcg->css.parent ? memcg->css.serial_nr : 0;
}

static u64 number_of_caller(void)
{
	u64 cgroup;

	rcu_read_lock();
	cgroup = number(mem_cgroup_from_task(current));
	rcu_read_unlock();
	return cgroup;
}

/* Has the kernel ask for the cgroup that the account is charged to from now on. */
static void announce(struct ashmem_account *account)
{
	INIT_LIST_HEAD(&account->announced);
#ifdef ASHMEM_HAS_LIST_LRU_ADD_OBJ
	list_lru_add_obj(&announced, &account->announced);
	list_lru_del_obj(&announced, &account->announced);
#else
	list_lru_add(&announced, &account->announced);
	list_lru_del(&announced, &account->announced);
#endif
}

struct ashmem_account *ashmem_cgroup_get(void)
{
	struct ashmem_account *account;
	u64 cgroup;

	do {
		cgroup = ready ? number_of_caller() : 0;
		if (!cgroup)
			return NULL;
		account = ashmem_account_hold(ASHMEM_CGROUP_KEY(cgroup), NULL);
		if (likely(account))
			return account;
		/* Without memory, the region goes without: the machine's own shrinker serves it. */
		account = ashmem_account_alloc(&announced);
		if (!account)
			return NULL;
		announce(account);
		/* A task that was moved meanwhile announced one of the two cgroups. */
		if (number_of_caller() == cgroup)
			return ashmem_account_hold(ASHMEM_CGROUP_KEY(cgroup), account);
		ashmem_account_free(account);
	} while (!fatal_signal_pending(current));
	return NULL;
}

static bool has_no_room(struct page_counter *counter)
{
	return page_counter_read(counter) + ROOM > READ_ONCE(counter->max);
}

/*
 * The cgroup, or one that it is part of, whose memory runs short by itself, and not the machine's.
 */
static struct mem_cgroup *at_limit(struct mem_cgroup *memcg)
{
	for (; memcg && memcg->css.parent; memcg = parent_mem_cgroup(memcg)) {
		if (has_no_room(&memcg->memory) ||
		    page_counter_read(&memcg->memory) > READ_ONCE(memcg->memory.high))
			return memcg;
		/* Version 1 has a limit of memory and swap together. */
		if (!cgroup_subsys_on_dfl(memory_cgrp_subsys) && has_no_room(&memcg->memsw))
			return memcg;
	}
	return NULL;
}

static bool is_caller_in(struct mem_cgroup *memcg)
{
	bool is_in;

	rcu_read_lock();
	is_in = mem_cgroup_is_descendant(mem_cgroup_from_task(current), memcg);
	rcu_read_unlock();
	return is_in;
}

static unsigned long count(struct shrinker *unused, struct shrink_control *control)
{
	struct mem_cgroup *memcg = control->memcg;

	/*
	 * Where the machine's memory runs short, the first shrinker keeps to one order over all
	 * (SHR-04).
	 */
	if (!number(memcg) || current_is_kswapd() || !at_limit(memcg))
		return 0;
	return min_t(u64, ashmem_reclaimable(), page_counter_read(&memcg->memory));
}

static unsigned long scan(struct shrinker *unused, struct shrink_control *control)
{
	struct mem_cgroup *limited = at_limit(control->memcg);
	struct ashmem_account *account;
	unsigned long pages;

	/* There is room again. */
	if (!limited)
		return SHRINK_STOP;
	account = ashmem_account_hold(ASHMEM_CGROUP_KEY(number(control->memcg)), NULL);
	if (!account)
		return SHRINK_STOP;
	/* A task that reclaims for others as well does not wait long for each of them. */
	pages = ashmem_shrink_cgroup(account, control->nr_to_scan, is_caller_in(limited));
	ashmem_account_put(account);
	return pages;
}

int ashmem_cgroup_init(void)
{
	int error;

	if (mem_cgroup_disabled())
		return 0;
	shrinker =
		ashmem_shrinker_register(SHRINKER_MEMCG_AWARE, ASHMEM_SHRINKER_NAME, count, scan);
	if (!shrinker)
		return -ENOMEM;
	error = list_lru_init_memcg(&announced, shrinker);
	if (error)
		ashmem_shrinker_unregister(shrinker);
	else
		ready = true;
	return error;
}

void ashmem_cgroup_exit(void)
{
	if (!ready)
		return;
	ashmem_shrinker_unregister(shrinker);
	list_lru_destroy(&announced);
}

#else

struct ashmem_account *ashmem_cgroup_get(void)
{
	return NULL;
}

int ashmem_cgroup_init(void)
{
	return 0;
}

void ashmem_cgroup_exit(void)
{
}

#endif
