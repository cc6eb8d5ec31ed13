// SPDX-License-Identifier: GPL-2.0
/*
 * 7.0: shmem's mmap is prepared in a descriptor, with exported functions to apply it to a mapping.
 */
#include <linux/fs.h>
#include <linux/mm.h>
int probe(const struct file_operations *fops, struct file *file, struct vm_area_struct *vma);
int probe(const struct file_operations *fops, struct file *file, struct vm_area_struct *vma)
{
	struct vm_area_desc desc;

	compat_set_desc_from_vma(&desc, file, vma);
	return fops->mmap_prepare(&desc) ?: __compat_vma_mmap(&desc, vma);
}
