#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealift_tests::fuzz::binaries::scripts(data));
