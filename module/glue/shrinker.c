// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel asks for memory back: unpinned pages are purged (specification section 9).
 *
 * Who asks may hold any lock there is, those that a purge takes among them, so nothing is purged in his place: workers do
 * it, which need no memory, and he waits for them a bounded moment. A worker may be kept waiting by whoever holds the
 * locks of the file or of the pages at hand; the others then go on with other ranges.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/oom.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/swap.h>
#include <linux/vmstat.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "glue.h"
#include "probes.h"

/* Four times as dear as the average cache: its loss is noticed by programs (SHR-07). */
#define ASHMEM_SEEKS (DEFAULT_SEEKS * 4)
#define ASHMEM_SHRINKER_NAME "android-ashmem"

/* How long reclaim waits for pages, and how long the OOM killer does. */
#define PATIENCE (HZ / 10)
#define LAST_PATIENCE HZ
/* What the OOM killer asks for: any memory will do. */
#define LAST_WISH 1024UL

static struct workqueue_struct *queue;
static struct work_struct works[ASHMEM_WORKERS];
/* How many pages are still to be freed: the greatest wish, for what becomes free serves everybody. */
static atomic_long_t wanted;
/* How many became free, ever. */
static atomic_long_t freed;
/* Somebody waited his time and saw nothing become free: until something does, nobody else waits. */
static bool stalled;

void ashmem_purged(unsigned long pages)
{
	if (pages) {
		atomic_long_add(pages, &freed);
		atomic_long_sub(pages, &wanted);
		if (READ_ONCE(stalled))
			WRITE_ONCE(stalled, false);
	}
	ashmem_wake();
}

static void work(struct work_struct *this)
{
	/* A purge that needs a little memory to free much may have it, and never asks for a purge itself. */
	unsigned int flags = memalloc_noreclaim_save();

	while (atomic_long_read(&wanted) > 0) {
		if (!ashmem_rs_purge_oldest(this - works)) {
			atomic_long_set(&wanted, 0);
			break;
		}
		cond_resched();
	}
	memalloc_noreclaim_restore(flags);
	ashmem_wake();
}

static void want(long pages)
{
	long old = atomic_long_read(&wanted);

	while (old < pages && !atomic_long_try_cmpxchg(&wanted, &old, pages))
		;
}

/* Has up to @pages freed; how many were, by the time it returns. */
static unsigned long purge(unsigned long pages, long patience)
{
	long before = atomic_long_read(&freed);
	long goal = before + min_t(unsigned long, pages, LONG_MAX / 2);
	int worker;

	want(goal - before);
	queue_work(queue, &works[0]);
	wait_event_timeout(ashmem_waiters, atomic_long_read(&freed) >= goal || atomic_long_read(&wanted) <= 0, patience);
	if (atomic_long_read(&freed) == before && atomic_long_read(&wanted) > 0) {
		WRITE_ONCE(stalled, true);
		for (worker = 1; worker < ASHMEM_WORKERS; worker++)
			queue_work(queue, &works[worker]);
	}
	return atomic_long_read(&freed) - before;
}

static unsigned long count(struct shrinker *shrinker, struct shrink_control *control)
{
	/* Regions can be sparse; what they have of memory is part of this. */
	return min_t(u64, ashmem_rs_purgeable(), global_node_page_state(NR_SHMEM));
}

static unsigned long scan(struct shrinker *shrinker, struct shrink_control *control)
{
	unsigned long pages = purge(control->nr_to_scan, READ_ONCE(stalled) ? 1 : PATIENCE);

	/* With nothing freed the kernel has to be told to stop, or it asks again for as long as it once counted. */
	if (!pages)
		return SHRINK_STOP;
#ifdef ASHMEM_HAS_ACCOUNT_RECLAIMED
	mm_account_reclaimed_pages(pages);
#else
	if (current->reclaim_state)
		current->reclaim_state->reclaimed_slab += pages;
#endif
	return pages;
}

/* The last moment before a process is killed for memory. */
static int out_of_memory_soon(struct notifier_block *notifier, unsigned long unused, void *parameter)
{
	unsigned long *found = parameter;

	if (ashmem_rs_purgeable())
		*found += purge(LAST_WISH, LAST_PATIENCE);
	return NOTIFY_OK;
}

static struct notifier_block oom_notifier = { .notifier_call = out_of_memory_soon };

static int workers_init(void)
{
	int worker;

	queue = alloc_workqueue("ashmem_purge", WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, ASHMEM_WORKERS);
	if (!queue)
		return -ENOMEM;
	for (worker = 0; worker < ASHMEM_WORKERS; worker++)
		INIT_WORK(&works[worker], work);
	register_oom_notifier(&oom_notifier);
	return 0;
}

/* Nobody asks any more once the shrinker is gone as well. */
static void workers_exit(void)
{
	unregister_oom_notifier(&oom_notifier);
	destroy_workqueue(queue);
}

#ifdef ASHMEM_HAS_SHRINKER_ALLOC

static struct shrinker *shrinker;

int ashmem_shrinker_init(void)
{
	int error = workers_init();

	if (error)
		return error;
	shrinker = shrinker_alloc(0, ASHMEM_SHRINKER_NAME);
	if (!shrinker) {
		workers_exit();
		return -ENOMEM;
	}
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = ASHMEM_SEEKS;
	shrinker_register(shrinker);
	return 0;
}

void ashmem_shrinker_exit(void)
{
	shrinker_free(shrinker);
	workers_exit();
}

#else

static struct shrinker shrinker = {
	.count_objects = count,
	.scan_objects = scan,
	.seeks = ASHMEM_SEEKS,
};

static int hook_up(void)
{
#if defined(ASHMEM_HAS_REGISTER_SHRINKER_NAMED)
	return register_shrinker(&shrinker, ASHMEM_SHRINKER_NAME);
#elif defined(ASHMEM_HAS_REGISTER_SHRINKER)
	return register_shrinker(&shrinker);
#else
#error "This kernel has none of the known ways to register a shrinker (linux/shrinker.h): what the compiler said of each is in probes/*.log."
#endif
}

int ashmem_shrinker_init(void)
{
	int error = workers_init();

	if (error)
		return error;
	error = hook_up();
	if (error)
		workers_exit();
	return error;
}

void ashmem_shrinker_exit(void)
{
	unregister_shrinker(&shrinker);
	workers_exit();
}

#endif
