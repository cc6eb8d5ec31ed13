// SPDX-License-Identifier: GPL-2.0
/* 6.0 to 6.6: shrinkers have names. */
#include <linux/mm.h> /* shrinker.h knows no types by itself */
#include <linux/shrinker.h>
int probe(struct shrinker *shrinker);
int probe(struct shrinker *shrinker)
{
	return register_shrinker(shrinker, "name");
}
