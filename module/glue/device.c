// SPDX-License-Identifier: GPL-2.0
/* The character device: hands each file operation to the Rust half. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>
#include <linux/uio.h>

#include "glue.h"
#include "trace.h"

void ashmem_file_set_region(struct file *file, struct ashmem_region *region)
{
	file->private_data = region;
}

/*
 * With nobody listening a tracepoint here is one instruction, which does nothing: the kernel
 * patches it into a jump when somebody does.
 */

static noinline int traced_open(struct file *file)
{
	u64 began = ktime_get_mono_fast_ns();
	int error = ashmem_rs_open(file);

	trace_open(error ? NULL : file->private_data, ktime_get_mono_fast_ns() - began, error);
	return error;
}

static int device_open(struct inode *inode, struct file *file)
{
	return trace_open_enabled() ? traced_open(file) : ashmem_rs_open(file);
}

static int device_release(struct inode *inode, struct file *file)
{
	ashmem_rs_release(file->private_data);
	return 0;
}

/*
 * Chosen by a flag and called by name: the Rust half has no type in front of its functions for kCFI
 * to look at.
 */
static noinline long traced_ioctl(struct file *file, unsigned int cmd, unsigned long arg,
				  bool compat)
{
	struct ashmem_region *region = file->private_data;
	u64 began = ktime_get_mono_fast_ns();
	long result = compat ? ashmem_rs_traced_compat_ioctl(region, cmd, arg) :
			       ashmem_rs_traced_ioctl(region, cmd, arg);

	trace_ioctl(region, ashmem_rs_inode(region), cmd, arg, ktime_get_mono_fast_ns() - began,
		    result);
	return result;
}

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (ashmem_requests_traced())
		return traced_ioctl(file, cmd, arg, false);
	return ashmem_rs_ioctl(file->private_data, cmd, arg);
}

#ifdef CONFIG_COMPAT
static long device_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (ashmem_requests_traced())
		return traced_ioctl(file, cmd, arg, true);
	return ashmem_rs_compat_ioctl(file->private_data, cmd, arg);
}
#endif

/* VM_READ, VM_WRITE and VM_EXEC have the values of PROT_READ, PROT_WRITE and PROT_EXEC. */
static_assert(VM_READ == PROT_READ && VM_WRITE == PROT_WRITE && VM_EXEC == PROT_EXEC);

static noinline int traced_mmap(struct ashmem_region *region, struct vm_area_struct *vma, u64 len,
				u32 prot)
{
	u64 began = ktime_get_mono_fast_ns();
	int error = ashmem_rs_mmap(region, vma, len, prot);

	trace_mmap(region, ashmem_rs_inode(region), vma, len, prot,
		   ktime_get_mono_fast_ns() - began, error);
	return error;
}

static int device_mmap(struct file *file, struct vm_area_struct *vma)
{
	u64 len = vma->vm_end - vma->vm_start;
	u32 prot = vma->vm_flags & (VM_READ | VM_WRITE | VM_EXEC);

	if (trace_mmap_enabled())
		return traced_mmap(file->private_data, vma, len, prot);
	return ashmem_rs_mmap(file->private_data, vma, len, prot);
}

/*
 * The backing file's position is the region's, whoever reads or seeks; its own lock is nobody
 * else's, since no descriptor leads to that file. The kernel takes none around calls of a device's.
 */
static ssize_t device_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *backing = ashmem_rs_read_from(iocb->ki_filp->private_data);
	ssize_t bytes;

	if (IS_ERR_OR_NULL(backing))
		return PTR_ERR_OR_ZERO(backing);
	bytes = vfs_iter_read(backing, to, &iocb->ki_pos, 0);
	/* lseek(2) goes on from where the last read ended, were it a pread (READ-05, READ-06). */
	if (bytes > 0) {
		mutex_lock(&backing->f_pos_lock);
		backing->f_pos = iocb->ki_pos;
		mutex_unlock(&backing->f_pos_lock);
	}
	return bytes;
}

static loff_t device_llseek(struct file *file, loff_t offset, int whence)
{
	struct file *backing = ashmem_rs_seek_in(file->private_data);
	loff_t position;

	if (IS_ERR(backing))
		return PTR_ERR(backing);
	mutex_lock(&backing->f_pos_lock);
	position = vfs_llseek(backing, offset, whence);
	/* read(2) looks at a device's position without any lock. */
	if (position >= 0)
		WRITE_ONCE(file->f_pos, backing->f_pos);
	mutex_unlock(&backing->f_pos_lock);
	return position;
}

#ifdef CONFIG_PROC_FS
static void device_show_fdinfo(struct seq_file *seq, struct file *file)
{
	ashmem_rs_show_fdinfo(file->private_data, seq);
}
#endif

void ashmem_fdinfo_file(struct seq_file *seq, unsigned long inode)
{
	seq_printf(seq, "inode:\t%lu\n", inode);
}

void ashmem_fdinfo_name(struct seq_file *seq, const char *name)
{
	seq_puts(seq, "name:\t");
	/* As maps has it: a name must not pose as lines of its own (FDI-03). */
	seq_escape(seq, name, "\n");
	seq_putc(seq, '\n');
}

void ashmem_fdinfo_more(struct seq_file *seq, u64 size, u32 mask, u64 pinned, u64 unpinned,
			u64 purged, u64 resident)
{
	seq_printf(seq,
		   "size:\t%llu\nprot_mask:\t%u\npinned:\t%llu\n"
		   "unpinned:\t%llu\npurged:\t%llu\nresident:\t%llu\n",
		   size, mask, pinned, unpinned, purged, resident);
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.read_iter = device_read_iter,
	.llseek = device_llseek,
	.mmap = device_mmap,
	.unlocked_ioctl = device_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = device_compat_ioctl,
#endif
#ifdef CONFIG_PROC_FS
	.show_fdinfo = device_show_fdinfo,
#endif
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ashmem",
	.fops = &device_fops,
	.mode = 0666,
};

int ashmem_device_refuse(void)
{
	struct path path;

	/*
	 * The class of misc devices is not exported, so it is asked by its path. Where sysfs is not
	 * mounted, or the caller's root is elsewhere, misc_register refuses the second device all
	 * the same, with a stack trace.
	 */
	if (kern_path("/sys/class/misc/ashmem", LOOKUP_FOLLOW, &path))
		return 0;
	path_put(&path);
	pr_err("this kernel already has an ashmem device (see /proc/misc):"
	       " nothing to do, not loaded\n");
	return -EEXIST;
}

int ashmem_device_init(void)
{
	int error = misc_register(&device);

	if (error)
		pr_err("the misc device 'ashmem' could not be registered: error %d\n", error);
	return error;
}

void ashmem_device_exit(void)
{
	misc_deregister(&device);
}
