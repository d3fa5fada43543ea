#![allow(clippy::all, missing_docs, clippy::print_stdout, clippy::print_stderr)]
use glovebox_hdl::bootstrap::{BootstrapEngine, Shape};
fn main() {
    let lanes: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let degree: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let shape = Shape::new(lanes, degree);
    eprintln!("{shape:?} turnaround {} fwd {} inv {}", shape.turnaround(), shape.forward().core_latency(), shape.inverse().core_latency());
    let t = glovebox_hdl::verilog::generate("br", "", move || BootstrapEngine::new(&shape));
    match t { Ok(t) => println!("{t}"), Err(e) => eprintln!("{e}") }
}
