//! Compares the speed of writing a layer with that of its codec alone: `cargo bench -p sealift-layers --bench codec -- FILE`.
//!
//! Both use the same bytes in memory and the same number of threads. The codec alone compresses them in blocks; writing the
//! layer also makes headers, digests of the files, the tar and the blob, and keeps gzip members in order.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark: may panic, takes arguments"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libdeflater::{CompressionLvl, Compressor};
use sealift_layers::codec::Codec;
use sealift_layers::layer;
use sealift_layers::tree::{Content, Entry, SourceFile, Tree, TreePath};

const BLOCK: usize = 1 << 20;
/// Bytes per file of the layer.
const FILE: u64 = 20_000;
const RUNS: usize = 5;

fn main() {
    let Some(file) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        println!("usage: codec FILE (a large file with typical contents, such as an uncompressed layer)");
        return;
    };
    let bytes = fs_err::read(file).unwrap();
    let jobs = std::thread::available_parallelism().unwrap().get();
    let source = Arc::new(SourceFile::Memory(bytes.clone()));
    let (mut alone, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        alone.push(timed(|| codec_alone(&bytes, jobs)));
        whole.push(timed(|| {
            let options = layer::Options { epoch: 1, file_digests: true, codec: Codec::Gzip, jobs };
            layer::write(tree(&source), options, std::io::sink()).map(drop).unwrap()
        }));
    }
    let (alone, whole) = (median(alone), median(whole));
    println!("{} bytes, {jobs} threads, medians of {RUNS} runs", bytes.len());
    for (what, time) in [("libdeflate, level 6", alone), ("a gzip layer", whole)] {
        println!("{what:20} {:.3} s  {:.0} MB/s", time.as_secs_f64(), bytes.len() as f64 / 1e6 / time.as_secs_f64());
    }
    println!("a layer has {:.0}% of the codec's speed", 100.0 * alone.as_secs_f64() / whole.as_secs_f64());
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn tree(source: &Arc<SourceFile>) -> Tree {
    let (mut tree, origin, length) = (Tree::new(), Arc::from("benchmark"), source.size().unwrap());
    for (index, offset) in (0..length).step_by(FILE as usize).enumerate() {
        let content = Content::range(source, offset, FILE.min(length - offset));
        tree.insert(TreePath::new(&format!("files/{index:06}")).unwrap(), Entry::file(content, 0o644, &origin));
    }
    tree
}

fn codec_alone(bytes: &[u8], jobs: usize) {
    let blocks: Vec<&[u8]> = bytes.chunks(BLOCK).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let mut compressor = Compressor::new(CompressionLvl::new(6).unwrap());
                let mut out = vec![0; compressor.gzip_compress_bound(BLOCK)];
                while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    compressor.gzip_compress(block, &mut out).unwrap();
                }
            });
        }
    });
}
