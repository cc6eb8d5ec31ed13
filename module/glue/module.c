// SPDX-License-Identifier: GPL-2.0
/* Loading and unloading. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "glue.h"

static int __init ashmem_init(void)
{
	int error;

	if (ashmem_rs_region_bytes > ASHMEM_REGION_BYTES ||
	    ashmem_rs_range_bytes > ASHMEM_RANGE_BYTES) {
		pr_err("the Rust object and the C glue are of different builds:"
		       " build the module anew\n");
		return -ENOEXEC;
	}
	error = ashmem_device_refuse();
	if (error)
		return error;
	error = ashmem_memory_init();
	if (error)
		return error;
	error = ashmem_backing_init();
	if (error)
		goto no_backing;
	error = ashmem_shrinker_init();
	if (error)
		goto no_backing;
	error = ashmem_cgroup_init();
	if (error)
		goto no_cgroup;
	error = ashmem_device_init();
	if (error)
		goto no_device;
	return 0;

no_device:
	ashmem_cgroup_exit();
no_cgroup:
	ashmem_shrinker_exit();
no_backing:
	ashmem_memory_exit();
	return error;
}

/*
 * Runs only when idle: every descriptor holds the module through the device's file operations,
 * every backing file, and so every mapping, through its own (BUG-17).
 */
static void __exit ashmem_exit(void)
{
	ashmem_device_exit();
	ashmem_cgroup_exit();
	ashmem_shrinker_exit();
	ashmem_memory_exit();
}

module_init(ashmem_init);
module_exit(ashmem_exit);

MODULE_DESCRIPTION("Android shared memory (/dev/ashmem)");
MODULE_AUTHOR("The ashmem-linux authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(ASHMEM_VERSION);
