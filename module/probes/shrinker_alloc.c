// SPDX-License-Identifier: GPL-2.0
/* 6.7: shrinkers are allocated by the kernel. */
#include <linux/mm.h> /* shrinker.h knows no types by itself */
#include <linux/shrinker.h>
struct shrinker *probe(void);
struct shrinker *probe(void)
{
	struct shrinker *shrinker = shrinker_alloc(0, "name");

	shrinker_register(shrinker);
	return shrinker;
}
