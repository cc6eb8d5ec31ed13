// SPDX-License-Identifier: GPL-2.0
/* The module's locks, whose order stands in module/src/region.rs, and where its callers sleep. */
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "memory.h"

static DEFINE_SPINLOCK(order_lock);
static DEFINE_MUTEX(purge_all);
/* One for all: who waits is rare, and looks again at what he waits for. */
DECLARE_WAIT_QUEUE_HEAD(ashmem_waiters);

void ashmem_region_lock(struct ashmem_region *region)
{
	mutex_lock(&((struct region_memory *)region)->lock);
}

void ashmem_region_unlock(struct ashmem_region *region)
{
	mutex_unlock(&((struct region_memory *)region)->lock);
}

void ashmem_order_lock(void)
{
	spin_lock(&order_lock);
}

void ashmem_order_unlock(void)
{
	spin_unlock(&order_lock);
}

bool ashmem_purge_all_lock(void)
{
	return !mutex_lock_killable(&purge_all);
}

void ashmem_purge_all_unlock(void)
{
	mutex_unlock(&purge_all);
}

bool ashmem_wait_while(const u32 *word, u32 seen)
{
	return !wait_event_killable(ashmem_waiters, smp_load_acquire(word) != seen);
}

void ashmem_wake(void)
{
	if (wq_has_sleeper(&ashmem_waiters))
		wake_up_all(&ashmem_waiters);
}

bool ashmem_pause(void)
{
	cond_resched();
	return fatal_signal_pending(current);
}
