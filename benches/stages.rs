//! What each stage of a node costs, in time: `cargo bench -p testudo-rules --bench stages`. By bundles of 1, 64 and 256
//! messages of 256 bytes, as time a bundle and messages a second. `--bench counts` counts instructions instead, which
//! a busy machine does not change. Nothing here asserts a time.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run says where")]

#[path = "stages/way.rs"]
mod way;

use divan::Bencher;
use divan::counter::ItemsCount;
use way::Way;

const BUNDLES: [u64; 3] = [1, 64, 256];

fn main() {
    divan::main();
}

#[divan::bench(args = BUNDLES)]
fn decode(bencher: Bencher<'_, '_>, messages: u64) {
    let way = Way::new(messages).unwrap();
    bencher.counter(ItemsCount::new(messages)).bench_local(|| way.decode().unwrap());
}

#[divan::bench(args = BUNDLES)]
fn bind(bencher: Bencher<'_, '_>, messages: u64) {
    let way = Way::new(messages).unwrap();
    let inputs = || way.decode().unwrap();
    bencher
        .counter(ItemsCount::new(messages))
        .with_inputs(inputs)
        .bench_local_values(|decoded| way.bind(decoded).unwrap());
}

#[divan::bench(args = BUNDLES)]
fn verify(bencher: Bencher<'_, '_>, messages: u64) {
    let way = Way::new(messages).unwrap();
    let inputs = || way.bind(way.decode().unwrap()).unwrap();
    bencher
        .counter(ItemsCount::new(messages))
        .with_inputs(inputs)
        .bench_local_values(|fresh| way.verify(fresh).unwrap());
}

#[divan::bench(args = BUNDLES)]
fn replay(bencher: Bencher<'_, '_>, messages: u64) {
    let way = Way::new(messages).unwrap();
    bencher.counter(ItemsCount::new(messages)).bench_local(|| way.replay().unwrap());
}

#[divan::bench(args = BUNDLES)]
fn authorise(bencher: Bencher<'_, '_>, messages: u64) {
    let way = Way::new(messages).unwrap();
    let inputs = || way.verify(way.bind(way.decode().unwrap()).unwrap()).unwrap();
    bencher
        .counter(ItemsCount::new(messages))
        .with_inputs(inputs)
        .bench_local_values(|verified| way.authorise(verified));
}

#[divan::bench(args = BUNDLES)]
fn inspect(bencher: Bencher<'_, '_>, messages: u64) {
    let (way, mut inspecting) = (Way::new(messages).unwrap(), Way::new(messages).unwrap());
    let inputs = || way.authorise(way.verify(way.bind(way.decode().unwrap()).unwrap()).unwrap());
    bencher
        .counter(ItemsCount::new(messages))
        .with_inputs(inputs)
        .bench_local_values(|authorised| inspecting.inspect(authorised));
}

#[divan::bench(args = BUNDLES)]
fn record(bencher: Bencher<'_, '_>, messages: u64) {
    let mut way = Way::new(messages).unwrap();
    let authorised = way.authorise(way.verify(way.bind(way.decode().unwrap()).unwrap()).unwrap());
    let inspected = way.inspect(authorised);
    bencher.counter(ItemsCount::new(messages)).bench_local(|| way.record(&inspected).unwrap());
}
