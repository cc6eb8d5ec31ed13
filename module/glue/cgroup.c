// SPDX-License-Identifier: GPL-2.0
/*
 * A memory cgroup at its limit gets its own unpinned pages back before a process of it is killed for memory.
 *
 * A region belongs to the memory cgroup of who opened it: it keeps that cgroup's number. The kernel asks a shrinker for a
 * cgroup only where something of that cgroup was once put into the shrinker's list_lru, so one small object of each is, and
 * is taken out again. Who asks waits for a worker, for the reason and with the patience of shrinker.c. The worker serves one
 * cgroup at a time, and takes ranges of that cgroup alone, oldest first.
 */
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/shrinker.h>

#include "glue.h"
#include "probes.h"

#ifdef CONFIG_MEMCG

#include <linux/jiffies.h>
#include <linux/list_lru.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#define ASHMEM_SHRINKER_NAME "android-ashmem-cgroup"
/* How long reclaim waits for its turn, and for pages; and who got none in that time waits a tick only, for so long. */
#define PATIENCE (HZ / 10)
#define STALL HZ
/* A cgroup with room for fewer pages than this, two huge pages' worth, is at its limit. */
#define ROOM 1024UL

static struct kmem_cache *cache;
static struct list_lru announced;
static struct shrinker *shrinker;
/* All of these are there. */
static bool ready;
/* Cgroups that were announced. One that another took the place of is announced again. */
static u64 known[256];

/* Whoever has made it 1 has the worker. */
static atomic_t turn;
/* Which cgroup the worker works for, and how many pages it is still to free and has freed. */
static u64 wish;
static atomic_long_t wanted;
static atomic_long_t freed;
static DECLARE_WAIT_QUEUE_HEAD(waiting);
static struct workqueue_struct *queue;
/* Who works, and for which cgroup. */
static struct task_struct *worker;
static u64 at_work_for;
/* The cgroup that waited in vain, and until when it waits a tick only. */
static u64 stalled;
static unsigned long stalled_until;

/* No two cgroups of a boot have the same number. 0 for the machine's own, which the first shrinker serves. */
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

/* Has the kernel ask for the caller's cgroup from now on. Without memory for it, the next region's opener tries again. */
static noinline void announce(u64 cgroup)
{
	struct list_head *object;

#ifdef ASHMEM_HAS_ALLOC_LRU
	object = kmem_cache_alloc_lru(cache, &announced, GFP_KERNEL);
#else
	object = kmem_cache_alloc(cache, GFP_KERNEL);
#endif
	if (!object)
		return;
	INIT_LIST_HEAD(object);
#ifdef ASHMEM_HAS_LIST_LRU_ADD_OBJ
	list_lru_add_obj(&announced, object);
	list_lru_del_obj(&announced, object);
#else
	list_lru_add(&announced, object);
	list_lru_del(&announced, object);
#endif
	kmem_cache_free(cache, object);
	/* Whoever was moved meanwhile announced one of the two. */
	if (number_of_caller() == cgroup)
		WRITE_ONCE(known[cgroup % ARRAY_SIZE(known)], cgroup);
}

u64 ashmem_cgroup_of_caller(void)
{
	u64 cgroup = ready ? number_of_caller() : 0;

	if (unlikely(cgroup && READ_ONCE(known[cgroup % ARRAY_SIZE(known)]) != cgroup))
		announce(cgroup);
	return cgroup;
}

void ashmem_cgroup_purged(unsigned long pages)
{
	if (likely(READ_ONCE(worker) != current) || READ_ONCE(wish) != at_work_for)
		return;
	atomic_long_add(pages, &freed);
	atomic_long_sub(pages, &wanted);
	wake_up_all(&waiting);
}

static void work(struct work_struct *this)
{
	static u64 last;
	static unsigned long began;
	unsigned int flags = memalloc_noreclaim_save();
	u64 cgroup = READ_ONCE(wish);
	/* Otherwise what was passed by a moment ago is not looked at again. */
	bool anew = cgroup != last || time_after(jiffies, began + PATIENCE);
	int purged = 1;

	if (anew) {
		last = cgroup;
		began = jiffies;
	}
	at_work_for = cgroup;
	WRITE_ONCE(worker, current);
	while (purged && READ_ONCE(wish) == cgroup && atomic_long_read(&wanted) > 0) {
		purged = ashmem_rs_purge_cgroup(cgroup, anew);
		anew = false;
		cond_resched();
	}
	WRITE_ONCE(worker, NULL);
	memalloc_noreclaim_restore(flags);
	if (!purged && READ_ONCE(wish) == cgroup)
		atomic_long_set(&wanted, 0);
	wake_up_all(&waiting);
}

static DECLARE_WORK(purging, work);

static unsigned long scan(struct shrinker *unused, struct shrink_control *control)
{
	u64 cgroup = number(control->memcg);
	bool is_stalled = READ_ONCE(stalled) == cgroup && time_before(jiffies, READ_ONCE(stalled_until));
	long patience = is_stalled ? 1 : PATIENCE, left;
	unsigned long pages;

	if (wait_event_killable_timeout(waiting, atomic_cmpxchg(&turn, 0, 1) == 0, PATIENCE) <= 0)
		return SHRINK_STOP;
	WRITE_ONCE(wish, cgroup);
	atomic_long_set(&freed, 0);
	atomic_long_set(&wanted, min_t(unsigned long, control->nr_to_scan, LONG_MAX / 2));
	queue_work(queue, &purging);
	left = wait_event_killable_timeout(waiting, atomic_long_read(&wanted) <= 0, patience);
	atomic_long_set(&wanted, 0);
	pages = min_t(unsigned long, atomic_long_read(&freed), control->nr_to_scan);
	if (!left && !pages) {
		WRITE_ONCE(stalled, cgroup);
		WRITE_ONCE(stalled_until, jiffies + STALL);
	}
	atomic_set_release(&turn, 0);
	wake_up_all(&waiting);
	ashmem_shrinker_account(pages);
	return pages ?: SHRINK_STOP;
}

/* Whether it is the memory of the cgroup that runs short, or of one that it is part of, and not the machine's. */
static bool is_at_limit(struct mem_cgroup *memcg)
{
	for (; memcg && memcg->css.parent; memcg = parent_mem_cgroup(memcg)) {
		unsigned long used = page_counter_read(&memcg->memory);

		if (used + ROOM > READ_ONCE(memcg->memory.max) || used > READ_ONCE(memcg->memory.high))
			return true;
	}
	return false;
}

static unsigned long count(struct shrinker *unused, struct shrink_control *control)
{
	struct mem_cgroup *memcg = control->memcg;

	/* Where the machine's memory runs short, the first shrinker keeps to one order over all (SHR-04). */
	if (!number(memcg) || current_is_kswapd() || !is_at_limit(memcg))
		return 0;
	return min_t(u64, ashmem_rs_purgeable(), page_counter_read(&memcg->memory));
}

int ashmem_cgroup_init(void)
{
	unsigned int flags = SHRINKER_MEMCG_AWARE | SHRINKER_NUMA_AWARE;
	int error = -ENOMEM;

	if (mem_cgroup_disabled())
		return 0;
	queue = alloc_workqueue("ashmem_cgroup", WQ_UNBOUND | WQ_MEM_RECLAIM | WQ_FREEZABLE, 1);
	if (!queue)
		return error;
	cache = kmem_cache_create("ashmem_cgroup", sizeof(struct list_head), 0, SLAB_ACCOUNT, NULL);
	if (!cache)
		goto no_cache;
	shrinker = ashmem_shrinker_register(flags, ASHMEM_SHRINKER_NAME, count, scan);
	if (!shrinker)
		goto no_shrinker;
	error = list_lru_init_memcg(&announced, shrinker);
	if (error)
		goto no_list;
	ready = true;
	return 0;

no_list:
	ashmem_shrinker_unregister(shrinker);
no_shrinker:
	kmem_cache_destroy(cache);
no_cache:
	destroy_workqueue(queue);
	return error;
}

void ashmem_cgroup_exit(void)
{
	if (!ready)
		return;
	ashmem_shrinker_unregister(shrinker);
	destroy_workqueue(queue);
	list_lru_destroy(&announced);
	kmem_cache_destroy(cache);
}

#else

u64 ashmem_cgroup_of_caller(void)
{
	return 0;
}

void ashmem_cgroup_purged(unsigned long pages)
{
}

int ashmem_cgroup_init(void)
{
	return 0;
}

void ashmem_cgroup_exit(void)
{
}

#endif
