/* SPDX-License-Identifier: GPL-2.0 */
/* What is kept of each user and of each memory cgroup that has a region. */
#ifndef ASHMEM_ACCOUNT_H
#define ASHMEM_ACCOUNT_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/rbtree.h>

#include "glue.h"

struct list_lru;

/* No larger than a range, whose memory it has (memory.c). */
struct ashmem_account {
	/* Rust counts these, and reads whether somebody waits for pages (module/src/glue.rs). */
	u32 ranges;
	/*
	 * How many tasks wait, and how many pages are still to be freed: the greatest wish, since
	 * what becomes free serves everybody.
	 */
	atomic_t waiters;
	atomic_long_t wanted;
	/* How many became free, ever. */
	atomic_long_t freed;
	/* In jiffies, cut to 32 bits. */
	u32 stalled_until;
	/* Goes up, and down to 0, under account.c's lock alone, which guards all that follows. */
	atomic_t regions;
	u64 key;
	union {
		struct rb_node node;
		/* Before it is in use (cgroup.c). */
		struct list_head announced;
	};
};

#define ASHMEM_USER_KEY(user) ((u64)(user) << 1)
#define ASHMEM_CGROUP_KEY(cgroup) ((cgroup) << 1 | 1)

/* memory.c. With @lru, which may be NULL, the object can be put into it. */
struct ashmem_account *ashmem_account_alloc(struct list_lru *lru);
void ashmem_account_free(struct ashmem_account *account);
/*
 * The account of @key with one region more; without one it becomes @fresh, which may be NULL and is
 * freed if not needed.
 */
struct ashmem_account *ashmem_account_hold(u64 key, struct ashmem_account *fresh);

#endif
