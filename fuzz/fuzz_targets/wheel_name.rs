#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealift_tests::fuzz::python::wheel_name(data));
