//! An error on purpose, by which `cargo xtask sanitize` sees that its sanitizer finds one. Never run otherwise.
#![allow(unsafe_code)]

#[test]
#[ignore = "reads beyond its memory: for `cargo xtask sanitize` alone"]
fn read_beyond_the_end_of_memory() {
    let words = vec![1u64; std::hint::black_box(16)];
    // SAFETY: there is none. The sanitizer must end the process here.
    let beyond = unsafe { words.as_ptr().add(std::hint::black_box(16)).read_volatile() };
    assert_ne!(beyond, words[0].wrapping_add(beyond), "the sanitizer let it pass");
}
