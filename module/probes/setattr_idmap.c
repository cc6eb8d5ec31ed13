// SPDX-License-Identifier: GPL-2.0
/* 6.3: attributes are set with the mount's identity mapping. */
#include <linux/fs.h>
int probe(const struct inode_operations *iops, struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr);
int probe(const struct inode_operations *iops, struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	return iops->setattr(idmap, dentry, attr);
}
