// SPDX-License-Identifier: GPL-2.0
/* 7.0: shmem_file_setup takes the bitmap type of mapping flags. */
#include <linux/shmem_fs.h>
#include <linux/mm.h>
struct file *probe(const struct vm_area_struct *vma);
struct file *probe(const struct vm_area_struct *vma)
{
	vma_flags_t flags = vma->flags;

	return shmem_file_setup("", 0, flags);
}
