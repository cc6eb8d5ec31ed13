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

/* Users have the even places, memory cgroups the odd ones. */
static struct hlist_head accounts[128];
static DEFINE_SPINLOCK(accounts_lock);

static struct hlist_head *place(u64 key)
{
	return &accounts[key % ARRAY_SIZE(accounts)];
}

/* The account of @key with one region more, if there is one. The caller has the lock. */
static __always_inline struct ashmem_account *hold_known(u64 key)
{
	struct ashmem_account *account;

	hlist_for_each_entry(account, place(key), node)
		if (account->key == key) {
			atomic_inc(&account->regions);
			break;
		}
	return account;
}

struct ashmem_account *ashmem_account_hold(u64 key, struct ashmem_account *fresh)
{
	struct ashmem_account *account;

	spin_lock(&accounts_lock);
	account = hold_known(key);
	if (!account && fresh) {
		account = fresh;
		fresh = NULL;
		account->key = key;
		atomic_set(&account->regions, 1);
		hlist_add_head(&account->node, place(key));
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
	spin_lock(&accounts_lock);
	account = hold_known(key);
	spin_unlock(&accounts_lock);
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

/* Frees the accounts of a bucket that have no region, all but one. */
static noinline void sweep(struct hlist_head *bucket)
{
	struct ashmem_account *account;
	struct hlist_node *next;
	HLIST_HEAD(idle);
	bool kept = false;

	spin_lock(&accounts_lock);
	hlist_for_each_entry_safe(account, next, bucket, node) {
		if (atomic_read(&account->regions))
			continue;
		if (kept) {
			hlist_del(&account->node);
			hlist_add_head(&account->node, &idle);
		}
		kept = true;
	}
	spin_unlock(&accounts_lock);
	hlist_for_each_entry_safe(account, next, &idle, node)
		ashmem_account_free(account);
}

/*
 * One account without a region stays in each bucket: a user who opens and closes one region again
 * and again needs no memory for it, nor the lock.
 */
void ashmem_account_put(struct ashmem_account *account)
{
	struct hlist_head *bucket = place(account->key);
	/* Asked first: once it has no region, anybody may free it. */
	bool alone = READ_ONCE(bucket->first) == &account->node && !READ_ONCE(account->node.next);

	if (atomic_dec_return(&account->regions) == 0 && unlikely(!alone))
		sweep(bucket);
}

bool ashmem_may_exceed(void)
{
	/* Without a line in the audit log, which repeated refusals would fill. */
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
}

/* No region is left. */
void ashmem_accounts_exit(void)
{
	struct ashmem_account *account;
	struct hlist_node *next;
	unsigned int bucket;

	for (bucket = 0; bucket < ARRAY_SIZE(accounts); bucket++)
		hlist_for_each_entry_safe(account, next, &accounts[bucket], node)
			ashmem_account_free(account);
}
