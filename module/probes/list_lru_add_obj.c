// SPDX-License-Identifier: GPL-2.0
/* 6.8: list_lru_add is told the cgroup; list_lru_add_obj finds it from the object. */
#include <linux/mm.h> /* list_lru.h knows no types by itself */
#include <linux/list_lru.h>
bool probe(struct list_lru *lru, struct list_head *item);
bool probe(struct list_lru *lru, struct list_head *item)
{
	return list_lru_add_obj(lru, item) && list_lru_del_obj(lru, item);
}
