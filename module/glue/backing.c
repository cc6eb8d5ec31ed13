// SPDX-License-Identifier: GPL-2.0
/*
 * The shmem file behind a region.
 *
 * It has shmem's own file operations but for what guards the protection mask: it is the vm_file of
 * every mapping, and remap_file_pages(2) would map it again past the mask (CVE-2020-0009). The
 * table carries the module as owner, so that it outlives the file (BUG-17). Its inode, which
 * whoever is privileged enough opens by way of /proc/PID/map_files (MMAP-22), has nothing of the
 * module's: a mask without WRITE is shmem's own seal there.
 */
#include <linux/fs.h>
#include <linux/falloc.h> /* knows no types by itself */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/shmem_fs.h>
#include <linux/xarray.h>

#include "glue.h"
#include "probes.h"

/* How many pages a purge removes before it tells of them. */
#define PIECE 1024UL

/* Written once, as the module is loaded. */
static const struct file_operations *shmem_fops __ro_after_init;
static struct file_operations backing_fops __ro_after_init;

/*
 * shmem's own mmap, by whichever hook this kernel's shmem has. Nothing of @vma's file is changed.
 */
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

static void take_flags(struct vm_area_struct *vma, unsigned long flags)
{
#ifdef ASHMEM_HAS_VM_FLAGS_CLEAR
	vm_flags_clear(vma, flags);
#else
	vma->vm_flags &= ~flags;
#endif
}

static void give_flags(struct vm_area_struct *vma, unsigned long flags)
{
#ifdef ASHMEM_HAS_VM_FLAGS_CLEAR
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

static void withhold(struct vm_area_struct *vma, u32 withheld)
{
	BUILD_BUG_ON(VM_MAYREAD != VM_READ << 4 || VM_MAYWRITE != VM_WRITE << 4 ||
		     VM_MAYEXEC != VM_EXEC << 4);
	/*
	 * VM_MAYREAD, VM_MAYWRITE and VM_MAYEXEC stand four bits above VM_READ, VM_WRITE and
	 * VM_EXEC.
	 */
	take_flags(vma, (unsigned long)withheld << 4);
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

	/*
	 * Asked again by the kernel when it is too late to go back: before 6.2 it then drops the
	 * wrong file.
	 */
	if (!arch_validate_flags(vma->vm_flags))
		return -EINVAL;
	withhold(vma, withheld);
	if (vma->vm_flags & VM_SHARED) {
		error = shmem_map(backing, vma);
		if (error)
			return error;
		/* shmem's own mappings may have arm64's memory tags, ours may not (MMAP-29). */
		if (vma->vm_flags & VM_MTE_ALLOWED)
			take_flags(vma, VM_MTE_ALLOWED);
	} else {
		/* Not a copy of the region: anonymous memory that carries its name (MMAP-12). */
		vma_set_anonymous(vma);
		/*
		 * When pages of the file go, the kernel also removes huge pages of private memory
		 * from the file's mappings: it expects none there (BUG-25).
		 */
		take_flags(vma, VM_HUGEPAGE);
		give_flags(vma, VM_NOHUGEPAGE);
	}
	/*
	 * Last, and cannot fail: which side drops which file after a failure differs between
	 * kernels (LOCK-09).
	 */
	set_file(vma, backing);
	return 0;
}

/* ---- the file this module made ---- */

static int backing_mmap(struct file *file, struct vm_area_struct *vma)
{
	return -EPERM;
}

/*
 * Punches as shmem's own fallocate does, but without the inode's lock, whose holder could keep the
 * purge waiting, and whatever the seals say: neither the purge nor a mapping of the region writes
 * through it.
 */
static void remove_pages(struct file *file, loff_t offset, loff_t len)
{
	unmap_mapping_range(file->f_mapping, offset, len, 0);
	shmem_truncate_range(file_inode(file), offset, offset + len - 1);
}

/* Comes from madvise(MADV_REMOVE) alone, by mappings that may write. */
static long backing_fallocate(struct file *file, int mode, loff_t offset, loff_t len)
{
	if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	remove_pages(file, offset, len);
	return 0;
}

/* ---- verbs ---- */

#ifdef ASHMEM_HAS_SHMEM_VMA_FLAGS
#define SHMEM_FLAGS(vma) ((vma)->flags)
#define SHMEM_NO_FLAGS ((vma_flags_t){})
#else
#define SHMEM_FLAGS(vma) ((vma)->vm_flags)
#define SHMEM_NO_FLAGS 0
#endif

struct file *ashmem_backing_create(const char *name, u64 size, const struct vm_area_struct *vma,
				   u32 mask)
{
	struct file *file = shmem_file_setup(name, size, SHMEM_FLAGS(vma));

	if (IS_ERR(file))
		return file;
	ashmem_backing_set_mask(file, mask);
	/* Kernels before 6.0 leave it out, and lseek(2) would fail (SEEK-08). */
	file->f_mode |= FMODE_LSEEK;
	/* Nobody can see this inode's access time change; keeping it costs at every mmap. */
	file->f_flags |= O_NOATIME;
	/*
	 * shmem is part of the kernel, so its table holds no reference that would have to be given
	 * back.
	 */
	__module_get(THIS_MODULE);
	file->f_op = &backing_fops;
	return file;
}

void ashmem_backing_put(struct file *backing)
{
	fput(backing);
}

/*
 * A mask never gets WRITE back, and a seal is never taken away. This one was made for ashmem's
 * masks: writable mappings made before keep their right.
 */
void ashmem_backing_set_mask(struct file *backing, u32 mask)
{
	if (!(mask & PROT_WRITE))
		WRITE_ONCE(SHMEM_I(file_inode(backing))->seals,
			   F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
}

unsigned long ashmem_backing_inode(const struct file *backing)
{
	return file_inode(backing)->i_ino;
}

/*
 * What stat(2) would show: pages in memory and pages swapped out. Read without shmem's lock, as
 * fdinfo is by others.
 */
u64 ashmem_backing_pages(const struct file *backing)
{
	return (u64)READ_ONCE(file_inode(backing)->i_blocks) >> (PAGE_SHIFT - 9);
}

/*
 * Piece by piece, so that tasks which wait for memory hear of it in time. What holds nothing, in
 * memory or swapped out, is passed by without a look at who maps it: a region may be mapped tens of
 * thousands of times, and a sparse range must cost its purge nothing for that.
 */
void ashmem_backing_punch(struct file *backing, u64 first, u64 last, struct ashmem_account *cgroup)
{
	struct address_space *mapping = backing->f_mapping;
	unsigned long at = first;

	while (at <= last && xa_find(&mapping->i_pages, &at, last, XA_PRESENT)) {
		unsigned long before = READ_ONCE(mapping->nrpages), after;
		/* Pieces end where huge pages do. */
		unsigned long end = min_t(u64, last, at | (PIECE - 1));

		remove_pages(backing, (loff_t)at << PAGE_SHIFT,
			     (loff_t)(end - at + 1) << PAGE_SHIFT);
		after = READ_ONCE(mapping->nrpages);
		ashmem_purged(cgroup, before > after ? before - after : 0);
		at = end + 1;
		cond_resched();
	}
}

/* Fills the table from a file of shmem's, before anyone can ask for them (BUG-20). */
int ashmem_backing_init(void)
{
	struct file *file = shmem_file_setup("dev/ashmem", 0, SHMEM_NO_FLAGS);

	if (IS_ERR(file))
		return PTR_ERR(file);
	shmem_fops = file->f_op;
	fput(file);
#ifndef ASHMEM_HAS_MMAP_PREPARE
	if (!shmem_fops->mmap) {
		pr_err("this kernel's shmem is mapped in a way this module does not know;"
		       " a newer release may\n");
		return -EOPNOTSUPP;
	}
#endif
	if (!shmem_fops->fallocate || !shmem_fops->read_iter || !shmem_fops->llseek) {
		pr_err("this kernel's shmem files cannot be read or given back:"
		       " it wants CONFIG_TMPFS; not loaded\n");
		return -EOPNOTSUPP;
	}

	backing_fops = *shmem_fops;
	backing_fops.owner = THIS_MODULE;
	backing_fops.mmap = backing_mmap;
	backing_fops.fallocate = backing_fallocate;
	/*
	 * shmem's own insists on shmem's table; without one the address space's default serves
	 * (MMAP-21).
	 */
	backing_fops.get_unmapped_area = NULL;
#ifdef ASHMEM_HAS_MMAP_PREPARE
	/* Both hooks set would make every mapping fail (API-04). */
	backing_fops.mmap_prepare = NULL;
#endif
	return 0;
}
