// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel asks for memory back: unpinned pages are purged (specification section 9).
 *
 * The task that asks may hold any lock, also one that a purge takes. So it does not purge by
 * itself: workers do, and the task waits for them for a bounded moment. A worker may have to wait
 * for the locks of the pages at hand; the others then go on with other regions. Workers rest when
 * nobody waits for them.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/oom.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/vmstat.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "account.h"
#include "probes.h"

/* Four times as dear as the average cache: its loss is noticed by programs (SHR-07). */
#define ASHMEM_SEEKS (DEFAULT_SEEKS * 4)
#define ASHMEM_SHRINKER_NAME "android-ashmem"

/*
 * How long reclaim waits for its pages, and the OOM killer; and how often they look whether the
 * worker is stuck.
 */
#define PATIENCE (HZ / 10)
#define LAST_PATIENCE HZ
#define LOOK (HZ / 50 + 1)
/*
 * After a wait that brought fewer pages than were asked for, the next waits last one tick, until
 * one brings all of its pages or this time is over.
 */
#define STALL HZ
/* What the OOM killer asks for, in pages. Less than that keeps it from killing once in so long. */
#define LAST_WISH 1024UL
#define LAST_WISH_AGAIN (10 * HZ)

static struct workqueue_struct *queue;
static struct work_struct works[ASHMEM_WORKERS];
/* The task that does the work at the moment, by worker. */
static struct task_struct *at_work[ASHMEM_WORKERS];
/* What the tasks that wait for pages of any region want. */
static struct ashmem_account machine;
/*
 * How many tasks wait for pages of a memory cgroup's regions. What they want stands in the cgroup's
 * account.
 */
static atomic_t at_limit;
static DECLARE_WAIT_QUEUE_HEAD(waiting);
/*
 * How often workers came to the order's end for cgroups. Two ends later, every range has been
 * looked at.
 */
static atomic_t ends;
#define ENDS 2

/* Whether that is all that was wanted. */
static bool tell(struct ashmem_account *of, unsigned long pages)
{
	atomic_long_add(pages, &of->freed);
	return atomic_long_sub_return(pages, &of->wanted) <= 0;
}

void ashmem_purged(struct ashmem_account *cgroup, unsigned long pages)
{
	/*
	 * Thousands of tasks may wait; one that wanted fewer pages than the others looks by itself
	 * soon.
	 */
	bool wake = tell(&machine, pages) && atomic_read(&machine.waiters);

	if (cgroup)
		wake |= tell(cgroup, pages);
	if (wake && wq_has_sleeper(&waiting))
		wake_up_all(&waiting);
}

static int purge_for_machine(unsigned int worker)
{
	bool awaited = atomic_read(&machine.waiters) && atomic_long_read(&machine.wanted) > 0;

	return awaited ? ashmem_rs_purge_oldest(worker) : 0;
}

/* @seen: how many ends there were when the worker last found a range. */
static int purge_for_cgroups(unsigned int worker, int *seen)
{
	int purged;

	if (!atomic_read(&at_limit) || atomic_read(&ends) - *seen >= ENDS)
		return 0;
	purged = ashmem_rs_purge_awaited(worker);
	if (purged > 0)
		*seen = atomic_read(&ends);
	/* What others purge may be what is waited for, and is told of as it becomes free. */
	if (purged || ashmem_rs_is_at_work())
		return purged;
	atomic_inc(&ends);
	wake_up_all(&waiting);
	return -EBUSY;
}

static void work(struct work_struct *this)
{
	unsigned int worker = this - works;
	/*
	 * A purge that needs a little memory to free much may have it, and never asks for a purge
	 * itself.
	 */
	unsigned int flags = memalloc_noreclaim_save();
	/* Each pass that finds none looks at 64 ranges. */
	unsigned int passes = 1 << 14;
	int seen = atomic_read(&ends), purged = 1;

	WRITE_ONCE(at_work[worker], current);
	while (purged && passes) {
		purged = purge_for_machine(worker) | purge_for_cgroups(worker, &seen);
		passes -= purged < 0;
		cond_resched();
	}
	WRITE_ONCE(at_work[worker], NULL);
	memalloc_noreclaim_restore(flags);
	if (!ashmem_rs_may_purge())
		atomic_long_set(&machine.wanted, 0);
	wake_up_all(&waiting);
}

/* Not so while it waits for a spinlock of a PREEMPT_RT kernel: that is over soon. */
#ifdef task_is_running
#define IS_ASLEEP(task) (READ_ONCE((task)->__state) & TASK_NORMAL)
#else
#define IS_ASLEEP(task) (READ_ONCE((task)->state) & TASK_NORMAL)
#endif

/*
 * One worker is enough, and keeps to the order (SHR-04), unless it sleeps and nothing became free
 * since the last look: the next one then finds other regions.
 */
static void call_next_if_stuck(void)
{
	unsigned int worker;

	/* A task that has done its work may end; its memory stays for as long as somebody reads. */
	rcu_read_lock();
	for (worker = 0; worker < ASHMEM_WORKERS; worker++) {
		struct task_struct *task = READ_ONCE(at_work[worker]);

		if (!task)
			queue_work(queue, &works[worker]);
		if (!task || !IS_ASLEEP(task))
			break;
	}
	rcu_read_unlock();
}

static void want(struct ashmem_account *of, long pages)
{
	long old = atomic_long_read(&of->wanted);

	while (old < pages && !atomic_long_try_cmpxchg(&of->wanted, &old, pages))
		;
}

/* Whether the pages came, or none is left to come. */
static bool is_met(struct ashmem_account *of, long goal, int seen)
{
	return atomic_long_read(&of->freed) >= goal || atomic_long_read(&of->wanted) <= 0 ||
	       (of != &machine && atomic_read(&ends) - seen >= ENDS);
}

/*
 * Has up to @pages freed and waits so long for it, unless the caller is killed. Returns how many
 * were freed; *@met tells whether that was all.
 */
static unsigned long purge(struct ashmem_account *of, unsigned long pages, long patience, bool *met)
{
	long before = atomic_long_read(&of->freed);
	long goal = before + min_t(unsigned long, pages, LONG_MAX / 2);
	long freed = before, left = 0;
	int seen = atomic_read(&ends), cgroups = of != &machine;

	atomic_inc(&of->waiters);
	atomic_add(cgroups, &at_limit);
	want(of, goal - before);
	queue_work(queue, &works[0]);
	for (; !left && patience > 0; patience -= LOOK) {
		left = wait_event_killable_timeout(waiting, is_met(of, goal, seen),
						   min_t(long, patience, LOOK));
		if (!left && atomic_long_read(&of->freed) == freed)
			call_next_if_stuck();
		freed = atomic_long_read(&of->freed);
	}
	atomic_sub(cgroups, &at_limit);
	atomic_dec(&of->waiters);
	*met = is_met(of, goal, seen);
	WRITE_ONCE(of->stalled_until, (u32)jiffies + (*met ? 0 : STALL));
	return atomic_long_read(&of->freed) - before;
}

static bool is_stalled(const struct ashmem_account *of)
{
	return (s32)((u32)jiffies - READ_ONCE(of->stalled_until)) < 0;
}

static unsigned long shrink(struct ashmem_account *of, unsigned long asked, long patience)
{
	unsigned long pages;
	bool met;

	if (!ashmem_may_reclaim())
		return SHRINK_STOP;
	pages = min(purge(of, asked, is_stalled(of) ? 1 : patience, &met), asked);
	/*
	 * A cgroup's reclaim sees for itself what became free; it must not take what a region's
	 * other users are charged for.
	 */
	if (of == &machine) {
#ifdef ASHMEM_HAS_ACCOUNT_RECLAIMED
		mm_account_reclaimed_pages(pages);
#else
		if (current->reclaim_state)
			current->reclaim_state->reclaimed_slab += pages;
#endif
	}
	/*
	 * With less freed than asked for the kernel has to be told to stop, or it asks again for as
	 * long as it once counted.
	 */
	return met && pages ? pages : SHRINK_STOP;
}

unsigned long ashmem_shrink_cgroup(struct ashmem_account *cgroup, unsigned long asked,
				   bool may_wait)
{
	return shrink(cgroup, asked, may_wait ? PATIENCE : 1);
}

unsigned long ashmem_reclaimable(void)
{
	return ashmem_may_reclaim() ? ashmem_rs_purgeable() : 0;
}

static unsigned long count(struct shrinker *shrinker, struct shrink_control *control)
{
	/* Regions can be sparse; what they have of memory is part of this. */
	return min_t(u64, ashmem_reclaimable(), global_node_page_state(NR_SHMEM));
}

static unsigned long scan(struct shrinker *shrinker, struct shrink_control *control)
{
	return shrink(&machine, control->nr_to_scan, PATIENCE);
}

/*
 * The last moment before a process is killed for memory. Whoever unpins a page in time, again and
 * again, must not be able to put that off for ever.
 */
static int out_of_memory_soon(struct notifier_block *notifier, unsigned long unused,
			      void *parameter)
{
	static unsigned long again;
	unsigned long *found = parameter, pages;
	bool met;

	if (!ashmem_may_reclaim() || !ashmem_rs_may_purge())
		return NOTIFY_OK;
	pages = purge(&machine, LAST_WISH, is_stalled(&machine) ? PATIENCE : LAST_PATIENCE, &met);
	if (pages >= LAST_WISH) {
		*found += pages;
	} else if (pages && time_after_eq(jiffies, READ_ONCE(again))) {
		*found += pages;
		WRITE_ONCE(again, jiffies + LAST_WISH_AGAIN);
	}
	return NOTIFY_OK;
}

static struct notifier_block oom_notifier = { .notifier_call = out_of_memory_soon };

static int workers_init(void)
{
	unsigned int worker;

	machine.stalled_until = jiffies;
	/*
	 * Freezable: what is written to disk for hibernation must not be purged after its picture
	 * was taken.
	 */
	queue = alloc_workqueue("ashmem_purge", WQ_UNBOUND | WQ_MEM_RECLAIM | WQ_FREEZABLE,
				ASHMEM_WORKERS);
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

struct shrinker *ashmem_shrinker_register(unsigned int flags, const char *name,
					  ashmem_shrink *count, ashmem_shrink *scan)
{
#ifdef ASHMEM_HAS_SHRINKER_ALLOC
	struct shrinker *shrinker = shrinker_alloc(flags, "%s", name);
#else
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
#endif

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = ASHMEM_SEEKS;
#if defined(ASHMEM_HAS_SHRINKER_ALLOC)
	shrinker_register(shrinker);
	return shrinker;
#else
	shrinker->flags = flags;
#if defined(ASHMEM_HAS_REGISTER_SHRINKER_NAMED)
	if (!register_shrinker(shrinker, "%s", name))
		return shrinker;
#elif defined(ASHMEM_HAS_REGISTER_SHRINKER)
	if (!register_shrinker(shrinker))
		return shrinker;
#else
#error "linux/shrinker.h has none of the known ways to register: probes/*.log tells of each."
#endif
	kfree(shrinker);
	return NULL;
#endif
}

void ashmem_shrinker_unregister(struct shrinker *shrinker)
{
#ifdef ASHMEM_HAS_SHRINKER_ALLOC
	shrinker_free(shrinker);
#else
	unregister_shrinker(shrinker);
	kfree(shrinker);
#endif
}

static struct shrinker *shrinker;

int ashmem_shrinker_init(void)
{
	int error = workers_init();

	if (error)
		return error;
	shrinker = ashmem_shrinker_register(0, ASHMEM_SHRINKER_NAME, count, scan);
	if (!shrinker) {
		workers_exit();
		return -ENOMEM;
	}
	return 0;
}

void ashmem_shrinker_exit(void)
{
	ashmem_shrinker_unregister(shrinker);
	workers_exit();
}
