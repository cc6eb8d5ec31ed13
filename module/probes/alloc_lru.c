// SPDX-License-Identifier: GPL-2.0
/* 5.18: a list_lru has a cgroup's list only once something was allocated for it there. */
#include <linux/mm.h> /* list_lru.h knows no types by itself */
#include <linux/list_lru.h>
#include <linux/slab.h>
void *probe(struct kmem_cache *cache, struct list_lru *lru);
void *probe(struct kmem_cache *cache, struct list_lru *lru)
{
	return kmem_cache_alloc_lru(cache, lru, GFP_KERNEL);
}
