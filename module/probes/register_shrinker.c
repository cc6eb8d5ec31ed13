// SPDX-License-Identifier: GPL-2.0
/* Up to 5.19. */
#include <linux/mm.h> /* shrinker.h knows no types by itself */
#include <linux/shrinker.h>
int probe(struct shrinker *shrinker);
int probe(struct shrinker *shrinker)
{
	return register_shrinker(shrinker);
}
