// SPDX-License-Identifier: GPL-2.0
/*
 * What each user has: the node is everybody's, and neither regions nor ranges are memory that the
 * OOM killer sees.
 *
 * A region counts for the user who opened it, for as long as it lives, whoever has its descriptor
 * by then; so do its ranges. In a user namespace it counts for the user who made the outermost one:
 * all the user numbers inside belong to that one user. (Namespaces that root made count by the
 * number outside.) Those who may exceed the machine's limits (CAP_SYS_RESOURCE) may exceed these.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/module.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "account.h"

/* 64 MiB of ranges; about as much of regions with their files. */
unsigned int ashmem_max_ranges = 1 << 20;
module_param_named(max_ranges, ashmem_max_ranges, uint, 0644);
MODULE_PARM_DESC(max_ranges,
		 "unpinned ranges of one user at most (default 1048576); beyond, ENOMEM");
static unsigned int max_regions = 1 << 16;
module_param(max_regions, uint, 0644);
MODULE_PARM_DESC(max_regions, "open regions of one user at most (default 65536); beyond, ENOMEM");

/*
 * By key. A tree: who may have many user numbers or cgroups may have many accounts, and nobody's
 * open is to wait for a walk along them.
 */
static struct rb_root accounts = RB_ROOT;
/*
 * One account without a region stays for each of these places: a user who opens and closes one
 * region again and again needs no memory for it. Users have the even places, memory cgroups the odd
 * ones.
 */
static struct ashmem_account *idle[128];
static DEFINE_SPINLOCK(accounts_lock);

/*
 * Where the account of @key is in the tree, or where it is to be put, below @parent. The caller has
 * the lock.
 */
static __always_inline struct rb_node **find(u64 key, struct rb_node **parent)
{
	struct rb_node **link = &accounts.rb_node;

	*parent = NULL;
	while (*link) {
		u64 at = rb_entry(*link, struct ashmem_account, node)->key;

		if (key == at)
			break;
		*parent = *link;
		link = key < at ? &(*link)->rb_left : &(*link)->rb_right;
	}
	return link;
}

struct ashmem_account *ashmem_account_hold(u64 key, struct ashmem_account *fresh)
{
	struct ashmem_account *account = NULL;
	struct rb_node **link, *parent;

	spin_lock(&accounts_lock);
	link = find(key, &parent);
	if (likely(*link)) {
		account = rb_entry(*link, struct ashmem_account, node);
		atomic_inc(&account->regions);
	} else if (fresh) {
		account = fresh;
		fresh = NULL;
		account->key = key;
		atomic_set(&account->regions, 1);
		rb_link_node(&account->node, parent, link);
		rb_insert_color(&account->node, &accounts);
	}
	spin_unlock(&accounts_lock);
	if (unlikely(fresh))
		ashmem_account_free(fresh);
	return account;
}

static kuid_t current_owner(void)
{
	kuid_t user = current_uid();
	struct user_namespace *space;

	for (space = current_user_ns(); space != &init_user_ns; space = space->parent)
		user = space->owner;
	return uid_eq(user, GLOBAL_ROOT_UID) ? current_uid() : user;
}

struct ashmem_account *ashmem_account_get(void)
{
	u64 key = ASHMEM_USER_KEY(__kuid_val(current_owner()));
	struct ashmem_account *account;

	BUILD_BUG_ON(offsetof(struct ashmem_account, ranges) != 0);
	BUILD_BUG_ON(offsetof(struct ashmem_account, waiters) != 4 ||
		     offsetof(struct ashmem_account, wanted) != 8);
	/* Nearly every open: the user has a region, or had one. */
	account = ashmem_account_hold(key, NULL);
	if (unlikely(!account)) {
		account = ashmem_account_alloc(NULL);
		if (!account)
			return NULL;
		account = ashmem_account_hold(key, account);
	}
	if (unlikely((unsigned int)atomic_read(&account->regions) > READ_ONCE(max_regions)) &&
	    !ashmem_may_exceed()) {
		ashmem_account_put(account);
		return NULL;
	}
	return account;
}

void ashmem_account_put(struct ashmem_account *account)
{
	struct ashmem_account **place, *other;

	if (!atomic_dec_and_lock(&account->regions, &accounts_lock))
		return;
	place = &idle[account->key % ARRAY_SIZE(idle)];
	other = *place;
	*place = account;
	/* In use again, it comes back here when it no longer is. */
	if (other == account || (other && atomic_read(&other->regions)))
		other = NULL;
	if (other)
		rb_erase(&other->node, &accounts);
	spin_unlock(&accounts_lock);
	if (other)
		ashmem_account_free(other);
}

bool ashmem_may_exceed(void)
{
	/* Without a line in the audit log, which repeated refusals would fill. */
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
}

/* No region is left. */
void ashmem_accounts_exit(void)
{
	struct ashmem_account *account, *next;

	rbtree_postorder_for_each_entry_safe(account, next, &accounts, node)
		ashmem_account_free(account);
}
