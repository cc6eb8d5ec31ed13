/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the Rust half returns to, in a kernel that has no return thunk of its own: its returns are
 * compiled as jumps to this symbol, which such a kernel does not export.
 */
#include <linux/linkage.h>

	.text
SYM_FUNC_START(__x86_return_thunk)
	ret
	int3
SYM_FUNC_END(__x86_return_thunk)
