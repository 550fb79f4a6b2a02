//! The switch to the engine's stack, and the return to either of two recorded places.
//!
//! `enter` records the registers that a callee must preserve, and calls a function on the engine's stack. That function
//! says from which record to return: the one of the snapshot (a rewind: the caller of the snapshot sees its call return
//! once more), or the one of this call. A second return needs no help from the compiler, unlike that of `setjmp`: all
//! memory and all preserved registers are as they were at the first return.

use std::ffi::c_void;

/// The preserved registers of the platform's C calling convention, with the floating-point control registers.
#[repr(C, align(16))]
pub struct Context {
    registers: [u64; 24],
}

/// What a function on the engine's stack returns: from which record to return, with which value.
///
/// Two words are returned in two registers by both calling conventions.
#[repr(C)]
pub struct Leave {
    pub context: *const Context,
    pub value: isize,
}

unsafe extern "C" {
    /// Records the registers in `context` and calls `function(argument)` on the stack that ends at `stack_top`.
    ///
    /// `stack_top` must be a multiple of 16 above a stack that nothing else uses.
    #[link_name = "pytest_hotreload_rewind_enter"]
    pub fn enter(
        context: *mut Context,
        stack_top: *mut u8,
        function: unsafe extern "C" fn(*mut c_void) -> Leave,
        argument: *mut c_void,
    ) -> isize;
}

/// The address that thread-local storage is relative to.
#[cfg(target_arch = "x86_64")]
pub fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the x86-64 ABI has the thread pointer at offset 0 of the segment.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags)) };
    pointer
}

/// The address that thread-local storage is relative to.
#[cfg(target_arch = "aarch64")]
pub fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the register can be read by user space.
    unsafe { std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem, preserves_flags)) };
    pointer
}

// rdi: context, rsi: stack, rdx: function, rcx: argument. Offsets: 0 rbx, 8 rbp, 16 r12, 24 r13, 32 r14, 40 r15,
// 48 rsp (which points to the return address), 56 MXCSR, 60 x87 control word.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".globl pytest_hotreload_rewind_enter",
    ".hidden pytest_hotreload_rewind_enter",
    ".type pytest_hotreload_rewind_enter, @function",
    "pytest_hotreload_rewind_enter:",
    "endbr64",
    "mov [rdi], rbx",
    "mov [rdi + 8], rbp",
    "mov [rdi + 16], r12",
    "mov [rdi + 24], r13",
    "mov [rdi + 32], r14",
    "mov [rdi + 40], r15",
    "mov [rdi + 48], rsp",
    "stmxcsr [rdi + 56]",
    "fnstcw [rdi + 60]",
    "mov rsp, rsi",
    "mov rdi, rcx",
    "cld",
    "call rdx",
    "mov rbx, [rax]",
    "mov rbp, [rax + 8]",
    "mov r12, [rax + 16]",
    "mov r13, [rax + 24]",
    "mov r14, [rax + 32]",
    "mov r15, [rax + 40]",
    "mov rsp, [rax + 48]",
    "ldmxcsr [rax + 56]",
    "fldcw [rax + 60]",
    "mov rax, rdx",
    "cld",
    "ret",
    ".size pytest_hotreload_rewind_enter, . - pytest_hotreload_rewind_enter",
);

// x0: context, x1: stack, x2: function, x3: argument. Offsets: 0 to 88 x19 to x30 (x30 is the return address), 96 sp,
// 104 FPCR, 112 to 168 d8 to d15.
#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".globl pytest_hotreload_rewind_enter",
    ".hidden pytest_hotreload_rewind_enter",
    ".type pytest_hotreload_rewind_enter, %function",
    "pytest_hotreload_rewind_enter:",
    "hint #34",
    "stp x19, x20, [x0]",
    "stp x21, x22, [x0, #16]",
    "stp x23, x24, [x0, #32]",
    "stp x25, x26, [x0, #48]",
    "stp x27, x28, [x0, #64]",
    "stp x29, x30, [x0, #80]",
    "mov x9, sp",
    "mrs x10, fpcr",
    "stp x9, x10, [x0, #96]",
    "stp d8, d9, [x0, #112]",
    "stp d10, d11, [x0, #128]",
    "stp d12, d13, [x0, #144]",
    "stp d14, d15, [x0, #160]",
    "mov sp, x1",
    "mov x0, x3",
    "blr x2",
    "ldp x19, x20, [x0]",
    "ldp x21, x22, [x0, #16]",
    "ldp x23, x24, [x0, #32]",
    "ldp x25, x26, [x0, #48]",
    "ldp x27, x28, [x0, #64]",
    "ldp x29, x30, [x0, #80]",
    "ldp x9, x10, [x0, #96]",
    "mov sp, x9",
    "msr fpcr, x10",
    "ldp d8, d9, [x0, #112]",
    "ldp d10, d11, [x0, #128]",
    "ldp d12, d13, [x0, #144]",
    "ldp d14, d15, [x0, #160]",
    "mov x0, x1",
    "ret",
    ".size pytest_hotreload_rewind_enter, . - pytest_hotreload_rewind_enter",
);
