// SPDX-License-Identifier: GPL-2.0
/*
 * When unpinned pages are purged, for those who test what programs do then. The original knows no
 * such choice; what it does is the default. Root's requests purge in any case.
 *
 * Each is read once for an operation, without a lock: what has begun goes on as it began.
 */
#include <linux/module.h>

#include "glue.h"

/* Named as the device with which Google's newer driver does the same. */
static bool unpinning_enable = true;
module_param(unpinning_enable, bool, 0644);
MODULE_PARM_DESC(unpinning_enable,
		 "whether want of memory purges unpinned pages (default Y)");
bool ashmem_unpinning_at_once;
module_param_named(unpinning_at_once, ashmem_unpinning_at_once, bool, 0644);
MODULE_PARM_DESC(unpinning_at_once,
		 "whether UNPIN purges at once, where unpinning_enable is Y (default N)");

bool ashmem_may_reclaim(void)
{
	return READ_ONCE(unpinning_enable);
}
