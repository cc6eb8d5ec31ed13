// SPDX-License-Identifier: GPL-2.0
/* The kernel asks for memory back: unpinned pages are purged (specification section 9). */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/shrinker.h>

#include "glue.h"
#include "probes.h"

/* Four times as dear as the average cache: its loss is noticed by programs (SHR-07). */
#define ASHMEM_SEEKS (DEFAULT_SEEKS * 4)
#define ASHMEM_SHRINKER_NAME "android-ashmem"

static unsigned long count(struct shrinker *shrinker, struct shrink_control *control)
{
	/* Sparse regions hold more pages than the machine has, and the kernel's patience grows with what it is told. */
	return min(ashmem_rs_purgeable(), totalram_pages());
}

static unsigned long scan(struct shrinker *shrinker, struct shrink_control *control)
{
	long freed;

	/* Punching a hole enters the file system (SHR-02). */
	if (!(control->gfp_mask & __GFP_FS))
		return SHRINK_STOP;
	freed = ashmem_rs_purge(control->nr_to_scan);
	return freed < 0 ? SHRINK_STOP : freed;
}

#ifdef ASHMEM_HAS_SHRINKER_ALLOC

static struct shrinker *shrinker;

int ashmem_shrinker_init(void)
{
	shrinker = shrinker_alloc(0, ASHMEM_SHRINKER_NAME);
	if (!shrinker)
		return -ENOMEM;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = ASHMEM_SEEKS;
	shrinker_register(shrinker);
	return 0;
}

void ashmem_shrinker_exit(void)
{
	shrinker_free(shrinker);
}

#else

static struct shrinker shrinker = {
	.count_objects = count,
	.scan_objects = scan,
	.seeks = ASHMEM_SEEKS,
};

int ashmem_shrinker_init(void)
{
#if defined(ASHMEM_HAS_REGISTER_SHRINKER_NAMED)
	return register_shrinker(&shrinker, ASHMEM_SHRINKER_NAME);
#elif defined(ASHMEM_HAS_REGISTER_SHRINKER)
	return register_shrinker(&shrinker);
#else
#error "This kernel has none of the known ways to register a shrinker (linux/shrinker.h): what the compiler said of each is in probes/*.log."
#endif
}

void ashmem_shrinker_exit(void)
{
	unregister_shrinker(&shrinker);
}

#endif
