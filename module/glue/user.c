// SPDX-License-Identifier: GPL-2.0
/* The caller's memory and rights. No lock of the module is held around any of these (LOCK-01). */
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/personality.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "glue.h"

/* struct ashmem_pin is two 32-bit words; both come in one access. */
int ashmem_read_pin(u64 address, u64 *pin)
{
	return get_user(*pin, (const u64 __user *)(unsigned long)address);
}

long ashmem_read_string(char *to, u64 address, long room)
{
	return strncpy_from_user(to, (const char __user *)(unsigned long)address, room);
}

int ashmem_write(u64 address, const void *from, unsigned long bytes)
{
	return copy_to_user((void __user *)(unsigned long)address, from, bytes) ? -EFAULT : 0;
}

u64 ashmem_compat_pointer(u64 address)
{
#ifdef CONFIG_COMPAT
	return (u64)(unsigned long)compat_ptr((compat_uptr_t)address);
#else
	return address;
#endif
}

/* In the initial user namespace: root in a container's own has not got it (PURGE-01). */
bool ashmem_may_purge(void)
{
	return capable(CAP_SYS_ADMIN);
}

bool ashmem_read_implies_exec(void)
{
	return current->personality & READ_IMPLIES_EXEC;
}
