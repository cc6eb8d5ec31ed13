// SPDX-License-Identifier: GPL-2.0
/*
 * The shmem file behind a region.
 *
 * Two tables of file operations, both shmem's own but for what guards the protection mask. A file that this module made
 * has the first: it is the vm_file of every mapping, and remap_file_pages(2) would map it again past the mask
 * (CVE-2020-0009). The inode has the second: whoever is privileged enough to open a mapping's entry in
 * /proc/PID/map_files gets a file with it (MMAP-22). Both carry the module as owner, so that it outlives them (BUG-17).
 *
 * The shrinker punches holes inside reclaim, for which it waits for the inode's lock. So whoever else takes that lock
 * through this file and may need memory under it says that his reclaim must not enter a file system: the shrinker then
 * stays out (SHR-02), and no task waits for itself.
 */
#include <linux/fs.h>
#include <linux/falloc.h> /* knows no types by itself */
#include <linux/file.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/uio.h>

#include "glue.h"
#include "probes.h"

static const struct file_operations *shmem_fops;
static struct file_operations backing_fops;
static struct file_operations reopened_fops;
static const struct inode_operations *shmem_iops;
static struct inode_operations reopened_iops;

/* shmem's own mmap, by whichever hook this kernel's shmem has. Nothing of @vma's file is changed. */
static int shmem_map(struct file *file, struct vm_area_struct *vma)
{
#ifdef ASHMEM_HAS_MMAP_PREPARE
	if (shmem_fops->mmap_prepare) {
		struct vm_area_desc desc;
		int error;

		compat_set_desc_from_vma(&desc, file, vma);
		error = shmem_fops->mmap_prepare(&desc);
		return error ? error : __compat_vma_mmap(&desc, vma);
	}
#endif
	return shmem_fops->mmap(file, vma);
}

static void withhold(struct vm_area_struct *vma, u32 withheld)
{
	/* VM_MAYREAD, VM_MAYWRITE and VM_MAYEXEC stand four bits above VM_READ, VM_WRITE and VM_EXEC. */
	unsigned long may = (unsigned long)withheld << 4;

	BUILD_BUG_ON(VM_MAYREAD != VM_READ << 4 || VM_MAYWRITE != VM_WRITE << 4 || VM_MAYEXEC != VM_EXEC << 4);
#ifdef ASHMEM_HAS_VM_FLAGS_CLEAR
	vm_flags_clear(vma, may);
#else
	vma->vm_flags &= ~may;
#endif
}

static void set_file(struct vm_area_struct *vma, struct file *file)
{
#ifdef ASHMEM_HAS_VMA_SET_FILE
	vma_set_file(vma, file);
#else
	struct file *old = vma->vm_file;

	vma->vm_file = get_file(file);
	fput(old);
#endif
}

int ashmem_backing_map(struct file *backing, struct vm_area_struct *vma, u32 withheld)
{
	int error;

	withhold(vma, withheld);
	if (vma->vm_flags & VM_SHARED) {
		error = shmem_map(backing, vma);
		if (error)
			return error;
	} else {
		/* Not a copy of the region: anonymous memory that carries its name (MMAP-12). */
		vma_set_anonymous(vma);
	}
	/* Last, and cannot fail: who drops which file after a failure differs between kernels (LOCK-09). */
	set_file(vma, backing);
	return 0;
}

/* ---- the file this module made ---- */

static int backing_mmap(struct file *file, struct vm_area_struct *vma)
{
	return -EPERM;
}

/*
 * The region and its last mapping are gone. A path to the inode (O_PATH) may stay, and holds no module: it gets the
 * kernel's own tables back.
 */
static int backing_release(struct inode *inode, struct file *file)
{
	WRITE_ONCE(inode->i_fop, shmem_fops);
	WRITE_ONCE(inode->i_op, shmem_iops);
	lockdep_set_class(&inode->i_rwsem, &inode->i_sb->s_type->i_mutex_key);
	return shmem_fops->release ? shmem_fops->release(inode, file) : 0;
}

/* Comes from madvise(MADV_REMOVE), and from the purge. */
static long backing_fallocate(struct file *file, int mode, loff_t offset, loff_t len)
{
	unsigned int flags = memalloc_nofs_save();
	long result = shmem_fops->fallocate(file, mode, offset, len);

	memalloc_nofs_restore(flags);
	return result;
}

/* ---- a file somebody opened through /proc/PID/map_files ---- */

/*
 * The region's mask is the inode's mode: the region itself may be gone while mappings live, and a mode says what it means.
 * It is looked at here because those who can come this way seldom need a mode's permission; and they cannot change it.
 */
static umode_t mode_of(u32 mask)
{
	return S_IFREG | (mask & PROT_READ ? 0444 : 0) | (mask & PROT_WRITE ? 0222 : 0) | (mask & PROT_EXEC ? 0111 : 0);
}

static u32 mask_of_inode(const struct inode *inode)
{
	umode_t mode = READ_ONCE(inode->i_mode);

	return (mode & 0400 ? PROT_READ : 0) | (mode & 0200 ? PROT_WRITE : 0) | (mode & 0100 ? PROT_EXEC : 0);
}

static u32 mask_of(const struct file *file)
{
	return mask_of_inode(file_inode(file));
}

static int reopened_open(struct inode *inode, struct file *file)
{
	if (file->f_mode & FMODE_WRITE && !(mask_of(file) & PROT_WRITE))
		return -EPERM;
	return shmem_fops->open ? shmem_fops->open(inode, file) : generic_file_open(inode, file);
}

static int reopened_mmap(struct file *file, struct vm_area_struct *vma)
{
	u32 withheld = ~mask_of(file) & (PROT_READ | PROT_WRITE | PROT_EXEC);

	if (vma->vm_flags & withheld)
		return -EPERM;
	withhold(vma, withheld);
	return shmem_map(file, vma);
}

static ssize_t write_page(struct kiocb *iocb, void *page, size_t len)
{
	struct kvec vec = { .iov_base = page, .iov_len = len };
	unsigned int flags;
	struct iov_iter iter;
	ssize_t result;

	iov_iter_kvec(&iter, WRITE, &vec, 1, len);
	flags = memalloc_nofs_save();
	result = shmem_fops->write_iter(iocb, &iter);
	memalloc_nofs_restore(flags);
	return result;
}

/*
 * By way of a page of ours. shmem reads the caller's memory under the inode's lock, and a fault there waits for the
 * caller's mmap_lock, whose holder may be in reclaim and wait for the inode's lock.
 */
static ssize_t reopened_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	ssize_t written = 0, result = 0;
	void *page;

	if (!(mask_of(iocb->ki_filp) & PROT_WRITE))
		return -EPERM;
	page = (void *)__get_free_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	while (iov_iter_count(from)) {
		size_t copied = copy_from_iter(page, min_t(size_t, iov_iter_count(from), PAGE_SIZE), from);

		result = copied ? write_page(iocb, page, copied) : -EFAULT;
		if (result > 0)
			written += result;
		if (result < 0 || (size_t)result < copied) {
			iov_iter_revert(from, copied - max_t(ssize_t, result, 0));
			break;
		}
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	free_page((unsigned long)page);
	return written ? written : result;
}

static long reopened_fallocate(struct file *file, int mode, loff_t offset, loff_t len)
{
	if (!(mask_of(file) & PROT_WRITE))
		return -EPERM;
	return backing_fallocate(file, mode, offset, len);
}

#if defined(ASHMEM_HAS_SETATTR_IDMAP)
#define SETATTR(...) struct mnt_idmap *mount, __VA_ARGS__
#define SHMEM_SETATTR(...) shmem_iops->setattr(mount, __VA_ARGS__)
#elif defined(ASHMEM_HAS_SETATTR_USERNS)
#define SETATTR(...) struct user_namespace *mount, __VA_ARGS__
#define SHMEM_SETATTR(...) shmem_iops->setattr(mount, __VA_ARGS__)
#else
#define SETATTR(...) __VA_ARGS__
#define SHMEM_SETATTR(...) shmem_iops->setattr(__VA_ARGS__)
#endif

/* truncate(2) writes, and chmod(2) would change the mask. */
static int reopened_setattr(SETATTR(struct dentry *dentry, struct iattr *attr))
{
	bool writes = attr->ia_valid & ATTR_SIZE && !(mask_of_inode(d_inode(dentry)) & PROT_WRITE);
	unsigned int flags;
	int error;

	if (writes || attr->ia_valid & ATTR_MODE)
		return -EPERM;
	/* There may be no file that holds the module: a path is enough to come here. */
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	flags = memalloc_nofs_save();
	error = SHMEM_SETATTR(dentry, attr);
	memalloc_nofs_restore(flags);
	module_put(THIS_MODULE);
	return error;
}

/* ---- verbs ---- */

#ifdef ASHMEM_HAS_SHMEM_VMA_FLAGS
#define SHMEM_FLAGS(vma) ((vma)->flags)
#define SHMEM_NO_FLAGS ((vma_flags_t){})
#else
#define SHMEM_FLAGS(vma) ((vma)->vm_flags)
#define SHMEM_NO_FLAGS 0
#endif

struct file *ashmem_backing_create(const char *name, u64 size, const struct vm_area_struct *vma, u32 mask)
{
	static struct lock_class_key backing_inode_class;
	struct file *file = shmem_file_setup(name, size, SHMEM_FLAGS(vma));
	struct inode *inode;

	if (IS_ERR(file))
		return file;
	inode = file_inode(file);
	/* The shrinker locks these inodes inside reclaim, which a shmem file's lock never sees otherwise (LOCK-06). */
	lockdep_set_class(&inode->i_rwsem, &backing_inode_class);
	inode->i_mode = mode_of(mask);
	inode->i_fop = &reopened_fops;
	inode->i_op = &reopened_iops;
	/* An access control list would change the mode, and other attributes take memory under the inode's lock. */
	inode->i_opflags &= ~IOP_XATTR;
	/* Kernels before 6.0 leave it out, and lseek(2) would fail (SEEK-08). */
	file->f_mode |= FMODE_LSEEK;
	/* Nobody can see this inode's access time change; keeping it costs at every mmap. */
	file->f_flags |= O_NOATIME;
	/* shmem is part of the kernel, so its table holds no reference that would have to be given back. */
	__module_get(THIS_MODULE);
	file->f_op = &backing_fops;
	return file;
}

void ashmem_backing_put(struct file *backing)
{
	fput(backing);
}

void ashmem_backing_set_mask(struct file *backing, u32 mask)
{
	WRITE_ONCE(file_inode(backing)->i_mode, mode_of(mask));
}

unsigned long ashmem_backing_inode(const struct file *backing)
{
	return file_inode(backing)->i_ino;
}

/* What stat(2) would show: pages in memory and pages swapped out. Read without shmem's lock, as fdinfo is by others. */
u64 ashmem_backing_pages(const struct file *backing)
{
	return (u64)READ_ONCE(file_inode(backing)->i_blocks) >> (PAGE_SHIFT - 9);
}

void ashmem_backing_punch(struct file *backing, u64 first, u64 last)
{
	/* The method itself: vfs_fallocate would add the freeze protection of a file system that cannot be frozen (SHR-09). */
	backing_fallocate(backing, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, first << PAGE_SHIFT,
			  (last - first + 1) << PAGE_SHIFT);
}

/* Fills the two tables from a file of shmem's, before anyone can ask for them (BUG-20). */
int ashmem_backing_init(void)
{
	struct file *file = shmem_file_setup("dev/ashmem", 0, SHMEM_NO_FLAGS);

	if (IS_ERR(file))
		return PTR_ERR(file);
	shmem_fops = file->f_op;
	shmem_iops = file_inode(file)->i_op;
	fput(file);
#ifndef ASHMEM_HAS_MMAP_PREPARE
	if (!shmem_fops->mmap) {
		pr_err("this kernel's shmem is mapped in a way this module does not know; a newer release may\n");
		return -EOPNOTSUPP;
	}
#endif

	backing_fops = *shmem_fops;
	backing_fops.owner = THIS_MODULE;
	backing_fops.mmap = backing_mmap;
	backing_fops.fallocate = backing_fallocate;
	backing_fops.release = backing_release;
	/* shmem's own insists on shmem's table; without one the address space's default serves (MMAP-21). */
	backing_fops.get_unmapped_area = NULL;
#ifdef ASHMEM_HAS_MMAP_PREPARE
	/* Both hooks set would make every mapping fail (API-04). */
	backing_fops.mmap_prepare = NULL;
#endif

	reopened_fops = backing_fops;
	reopened_fops.release = shmem_fops->release;
	reopened_fops.open = reopened_open;
	reopened_fops.mmap = reopened_mmap;
	reopened_fops.write_iter = reopened_write_iter;
	reopened_fops.fallocate = reopened_fallocate;

	reopened_iops = *shmem_iops;
	reopened_iops.setattr = reopened_setattr;
	reopened_iops.set_acl = NULL;
	return 0;
}
