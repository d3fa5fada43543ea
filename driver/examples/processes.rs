//! Two processes and one card: the second opener is told that the card is busy; a process killed with commands in flight
//! leaves a card that the next one uses, with nothing of its own readable. `cargo xtask vm-test` runs it in a guest, through
//! the kernel: `processes vfio:0000:01:00.0`.
#![allow(clippy::print_stdout)]

use glovebox_driver::reference::ReferenceKeys;
use glovebox_driver::{Device, Error};
use glovebox_regmap::Opcode;
use std::io::BufRead;
use std::process::{Child, Command, Stdio};

type Failure = Box<dyn std::error::Error>;

/// Bootstraps until it is killed.
fn work(address: &str) -> Result<(), Failure> {
    let device = Device::open(&address.parse()?)?;
    let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1)?;
    let job = keys.job(&device, Opcode::Bootstrap, 4, keys.settings(), 2)?;
    loop {
        let tickets = device.submit(0, &vec![job.command(); 8])?;
        println!("submitted");
        for ticket in tickets {
            ticket.wait()?;
        }
    }
}

fn open_second(address: &str) -> Result<(), Failure> {
    match Device::open(&address.parse()?) {
        Err(Error::Busy { .. }) => println!("busy"),
        Err(error) => println!("another error: {error}"),
        Ok(_) => println!("opened"),
    }
    Ok(())
}

/// This program again, in another role; comes back with the first line that it says.
fn start(role: &str, address: &str) -> Result<(Child, String), Failure> {
    let mut child = Command::new(std::env::current_exe()?).args([address, role]).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(output);
    lines.read_line(&mut line)?;
    std::thread::spawn(move || lines.lines().for_each(drop));
    Ok((child, line.trim().into()))
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: processes vfio:PCI-ADDRESS")?;
    match arguments.next().as_deref() {
        Some("work") => return work(&address),
        Some("second") => return open_second(&address),
        _ => {}
    }
    let device = Device::open(&address.parse()?)?;
    let (mut second, said) = start("second", &address)?;
    second.wait()?;
    if said != "busy" {
        return Err(format!("the second opener: {said}").into());
    }
    device.nop()?;
    drop(device);
    println!("a second process is told that the card is busy: ok");
    for _ in 0..2 {
        let (mut worker, said) = start("work", &address)?;
        if said != "submitted" {
            return Err(format!("the worker: {said}").into());
        }
        worker.kill()?;
        worker.wait()?;
        let device = Device::open(&address.parse()?)?;
        if device.card_memory().0 != device.card_memory().1 || device.copy(&[1, 2, 3])? != [1, 2, 3] {
            return Err("the card is not as new".into());
        }
        let keys = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 3)?;
        let job = keys.job(&device, Opcode::Bootstrap, 2, keys.settings(), 4)?;
        device.run(0, job.command())?;
        if job.found()? != job.expected() {
            return Err("the card and golden differ after a process was killed".into());
        }
    }
    println!("a process killed with commands in flight leaves a usable card: ok");
    Ok(())
}
