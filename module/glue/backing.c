// SPDX-License-Identifier: GPL-2.0
/*
 * The shmem file behind a region.
 *
 * Two tables of file operations, both shmem's own but for what guards the protection mask. A file that this module made
 * has the first: it is the vm_file of every mapping, and remap_file_pages(2) would map it again past the mask
 * (CVE-2020-0009). The inode has the second: whoever is privileged enough to open a mapping's entry in
 * /proc/PID/map_files gets a file with it (MMAP-22). Both carry the module as owner, so that it outlives them (BUG-17).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/falloc.h> /* knows no types by itself */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/shmem_fs.h>
#include <linux/uio.h>

#include "glue.h"
#include "probes.h"

/* Written once, as the module is loaded. */
static const struct file_operations *shmem_fops __ro_after_init;
static struct file_operations backing_fops __ro_after_init;
static struct file_operations reopened_fops __ro_after_init;
static const struct inode_operations *shmem_iops __ro_after_init;
static struct inode_operations reopened_iops __ro_after_init;

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

	/* Asked again by the kernel when it is too late to go back: before 6.2 it then drops the wrong file. */
	if (!arch_validate_flags(vma->vm_flags))
		return -EINVAL;
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
	return shmem_fops->release ? shmem_fops->release(inode, file) : 0;
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

static ssize_t reopened_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	return mask_of(iocb->ki_filp) & PROT_WRITE ? shmem_fops->write_iter(iocb, from) : -EPERM;
}

static long reopened_fallocate(struct file *file, int mode, loff_t offset, loff_t len)
{
	return mask_of(file) & PROT_WRITE ? shmem_fops->fallocate(file, mode, offset, len) : -EPERM;
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
	int error;

	if (writes || attr->ia_valid & ATTR_MODE)
		return -EPERM;
	/* There may be no file that holds the module: a path is enough to come here. */
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	error = SHMEM_SETATTR(dentry, attr);
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
	struct file *file = shmem_file_setup(name, size, SHMEM_FLAGS(vma));
	struct inode *inode;

	if (IS_ERR(file))
		return file;
	inode = file_inode(file);
	inode->i_mode = mode_of(mask);
	inode->i_fop = &reopened_fops;
	inode->i_op = &reopened_iops;
	/* An access control list would change the mode. */
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

/*
 * Piece by piece, so that who waits for memory hears of it in time; where a piece held none, the next one is larger, so that
 * a sparse region takes no longer. The method itself is called: vfs_fallocate would add the freeze protection of a file
 * system that cannot be frozen (SHR-09).
 */
void ashmem_backing_punch(struct file *backing, u64 first, u64 last)
{
	const u64 piece = 1024;
	u64 pages = piece;

	while (first <= last) {
		/* Pieces end where huge pages do. */
		u64 end = min(last, first | (pages - 1));
		u64 before = ashmem_backing_pages(backing), after;

		shmem_fops->fallocate(backing, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, first << PAGE_SHIFT,
				      (end - first + 1) << PAGE_SHIFT);
		after = ashmem_backing_pages(backing);
		ashmem_purged(before > after ? before - after : 0);
		pages = before > after ? piece : min(pages * 2, 1ULL << 52);
		first = end + 1;
		cond_resched();
	}
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
	if (!shmem_fops->fallocate || !shmem_fops->read_iter || !shmem_fops->write_iter || !shmem_fops->llseek ||
	    !shmem_iops->setattr) {
		pr_err("this kernel's shmem files cannot be read or given back: it wants CONFIG_TMPFS; not loaded\n");
		return -EOPNOTSUPP;
	}

	backing_fops = *shmem_fops;
	backing_fops.owner = THIS_MODULE;
	backing_fops.mmap = backing_mmap;
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
