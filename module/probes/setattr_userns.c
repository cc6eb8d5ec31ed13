// SPDX-License-Identifier: GPL-2.0
/* 5.12 to 6.2: attributes are set in a user namespace. */
#include <linux/fs.h>
int probe(const struct inode_operations *iops, struct user_namespace *ns, struct dentry *dentry, struct iattr *attr);
int probe(const struct inode_operations *iops, struct user_namespace *ns, struct dentry *dentry, struct iattr *attr)
{
	return iops->setattr(ns, dentry, attr);
}
