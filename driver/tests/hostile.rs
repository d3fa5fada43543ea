//! Peers that lie: a card whose registers and memory hold anything, a socket client that sends anything to the card server,
//! a card server that answers anything. Nothing panics or hangs, every error has a type, and whoever comes next is served.

use glovebox_driver::bus::Bus;
use glovebox_driver::card::{CardBackend, HostPort};
use glovebox_driver::in_process::InProcessBus;
use glovebox_driver::model::{ModelConfig, SoftwareCard};
use glovebox_driver::reference::ReferenceKeys;
use glovebox_driver::vfio_user::client::VfioUserBus;
use glovebox_driver::vfio_user::protocol::{self, HEADER_BYTES, Header, Request};
use glovebox_driver::vfio_user::server::CardServer;
use glovebox_driver::{Command, Device, DeviceConfig, Iova, IovaRange};
use glovebox_regmap::{Opcode, layout};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

/// Longer than everything that a case can wait for.
const FOREVER: Duration = Duration::from_secs(60);

fn software_card() -> SoftwareCard {
    SoftwareCard::new(ModelConfig { memory_bytes: 1 << 20, ..ModelConfig::default() }).unwrap()
}

/// One lie, or the truth.
fn lie() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![
        30 => Just(None),
        1 => any::<u32>().prop_map(Some),
        1 => (0u32..32).prop_map(|bit| Some(1 << bit)),
        1 => Just(Some(u32::MAX)),
        1 => Just(Some(0)),
    ]
}

/// A card that works, but for its registers and for what else it writes to host memory.
struct LyingCard {
    card: SoftwareCard,
    lies: Mutex<VecDeque<Option<u32>>>,
    /// (Address, word) written at each doorbell.
    scribbles: Mutex<VecDeque<(u64, u64)>>,
    host: OnceLock<Arc<HostPort>>,
}

impl CardBackend for LyingCard {
    fn attach(&self, host: Arc<HostPort>) {
        self.host.set(Arc::clone(&host)).unwrap_or_else(|_| panic!("one host"));
        self.card.attach(host);
    }
    fn read32(&self, offset: u32) -> u32 {
        let lie = self.lies.lock().unwrap().pop_front().flatten();
        lie.unwrap_or_else(|| self.card.read32(offset))
    }
    fn write32(&self, offset: u32, value: u32) {
        if let (Some(host), Some((address, word))) = (self.host.get(), self.scribbles.lock().unwrap().pop_front()) {
            // Where nothing is mapped the IOMMU stops it.
            let _ = host.write(address, &word.to_le_bytes());
            host.fire((word % 16) as u16);
        }
        self.card.write32(offset, value);
    }
    fn reset(&self) {
        self.card.reset();
    }
}

/// An address where the driver's rings and first buffers lie, or anywhere.
fn scribble() -> impl Strategy<Value = (u64, u64)> {
    let near = (0u64..0x1_0000).prop_map(|at| 0x10_0000 + 8 * at);
    (prop_oneof![9 => near, 1 => any::<u64>()], any::<u64>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_card_that_lies_is_survived(
        truths in 0usize..60,
        lies in proptest::collection::vec(lie(), 0..80),
        scribbles in proptest::collection::vec(scribble(), 0..60),
    ) {
        let mut all = VecDeque::from(vec![None; truths]);
        all.extend(lies);
        let card = Arc::new(LyingCard {
            card: software_card(),
            lies: Mutex::new(all),
            scribbles: Mutex::new(scribbles.into()),
            host: OnceLock::new(),
        });
        let started = Instant::now();
        let config = DeviceConfig {
            command_timeout: Duration::from_millis(100),
            reset_timeout: Duration::from_millis(20),
            erase_timeout: Duration::from_millis(20),
            ring_log2: 3,
            ..DeviceConfig::default()
        };
        let bus = Arc::new(InProcessBus::new("liar", Arc::clone(&card) as Arc<dyn CardBackend>));
        if let Ok(device) = Device::from_bus(Arc::clone(&bus) as Arc<dyn Bus>, config.clone()) {
            let degree = device.parameters().degree();
            let _ = device.ntt(&vec![1; degree.min(1 << 12)]);
            let _ = device.counters();
            if let Ok(keys) = ReferenceKeys::upload(&device, ReferenceKeys::SETTINGS, 1)
                && let Ok(job) = keys.job(&device, Opcode::Bootstrap, 1, keys.settings(), 2)
            {
                let commands: Vec<Command> = vec![job.command(); 3];
                for ticket in device.submit(0, &commands).unwrap_or_default() {
                    let _ = ticket.wait();
                }
            }
            let _ = device.settle_card_memory();
        }
        prop_assert!(started.elapsed() < FOREVER);
        // Once it has run out of lies it serves the next one.
        card.lies.lock().unwrap().clear();
        card.scribbles.lock().unwrap().clear();
        let honest = DeviceConfig { command_timeout: FOREVER, ..config };
        let device = Device::from_bus(bus, honest).unwrap();
        prop_assert_eq!(device.copy(&[1, 2, 3]).unwrap(), [1, 2, 3]);
    }
}

/// What a client sends.
#[derive(Clone, Debug)]
enum Sent {
    Raw(Vec<u8>),
    Message { header: [u32; 4], command: u16, payload: Vec<u8>, files: u8, honest_size: bool },
    Request { kind: u8, words: [u64; 3], small: [u32; 4], files: u8 },
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    let word = prop_oneof![any::<u64>(), 0u64..0x2000, Just(u64::MAX), (0u64..0x40).prop_map(|page| page << 12)];
    let small = prop_oneof![any::<u32>(), 0u32..40];
    let message = (any::<[u32; 4]>(), 0u16..16, bytes(64), 0u8..4, any::<bool>()).prop_map(
        |(header, command, payload, files, honest_size)| Sent::Message { header, command, payload, files, honest_size },
    );
    let request =
        (0u8..10, [word.clone(), word.clone(), word], [small.clone(), small.clone(), small.clone(), small], 0u8..4)
            .prop_map(|(kind, words, small, files)| Sent::Request { kind, words, small, files });
    prop_oneof![1 => bytes(80).prop_map(Sent::Raw), 4 => message, 12 => request]
}

fn framed(id: u16, command: u16, payload: &[u8]) -> Vec<u8> {
    let size = (HEADER_BYTES + payload.len()) as u32;
    let header = Header { id, command, size, reply: false, no_reply: false, error: None };
    [&header.encode()[..], payload].concat()
}

/// Sends one thing; an end of the connection is the server's right.
fn send(stream: &mut UnixStream, sent: &Sent, memory: &std::fs::File, event: &EventFd) {
    let fds: [RawFd; 4] = [memory.as_raw_fd(), event.as_raw_fd(), memory.as_raw_fd(), event.as_raw_fd()];
    let (bytes, files) = match sent {
        Sent::Raw(bytes) => (bytes.clone(), 0),
        Sent::Message { header, command, payload, files, honest_size } => {
            let mut bytes = framed(header[0] as u16, *command, payload);
            bytes[8..12].copy_from_slice(&(header[2] & 0x3f).to_le_bytes());
            if !honest_size {
                bytes[4..8].copy_from_slice(&header[1].to_le_bytes());
            }
            (bytes, *files)
        }
        Sent::Request { kind, words: [a, b, c], small: w, files } => {
            let data = a.to_le_bytes();
            let request = match kind {
                0 => Request::Version { version: (0, 1), capabilities: protocol::own_capabilities() },
                1 => Request::DmaMap { read: w[0] & 1 != 0, write: w[0] & 2 != 0, offset: *a, iova: *b, bytes: *c },
                2 => Request::DmaUnmap { all: w[0] & 1 != 0, iova: *a, bytes: *b },
                3 => Request::DeviceGetInfo,
                4 => Request::RegionGetInfo { index: w[0] },
                5 => Request::IrqGetInfo { index: w[0] },
                6 => Request::SetIrqs { flags: w[0], index: w[1], start: w[2], count: w[3] },
                7 => Request::RegionRead { region: w[0] % 9, offset: *a, count: w[1] % 5000 },
                8 => Request::RegionWrite { region: w[0] % 9, offset: *a, data: &data[..w[1] as usize % 9] },
                _ => Request::DeviceReset,
            };
            let (command, payload) = request.encode();
            (framed(7, command, &payload), *files)
        }
    };
    let _ = if files == 0 || bytes.is_empty() {
        stream.write_all(&bytes)
    } else {
        stream
            .send_with_fds(&[&bytes[..]], &fds[..usize::from(files)])
            .map(drop)
            .map_err(|e| std::io::Error::from_raw_os_error(e.errno()))
    };
}

#[test]
fn a_client_that_sends_anything_neither_stops_the_server_nor_harms_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.sock");
    let _server = CardServer::start(&path, Arc::new(software_card())).unwrap();
    let address = format!("vfio-user:{}", path.display()).parse().unwrap();
    let memory = tempfile::tempfile().unwrap();
    memory.set_len(0x8000).unwrap();
    let event = EventFd::new(0).unwrap();
    let messages = (any::<bool>(), proptest::collection::vec(sent(), 1..24));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 150, ..ProptestConfig::default() });
    let outcome = runner.run(&messages, |(greet, messages)| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_write_timeout(Some(FOREVER)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        if greet {
            send(&mut stream, &Sent::Request { kind: 0, words: [0; 3], small: [0; 4], files: 0 }, &memory, &event);
        }
        for message in &messages {
            send(&mut stream, message, &memory, &event);
            // Replies are taken, so that the server never waits for room.
            let _ = stream.read(&mut [0; 1 << 16]);
        }
        drop(stream);
        let patience = Instant::now() + FOREVER;
        let device = loop {
            // The server may still be cleaning up behind the last client.
            match Device::open_with(&address, DeviceConfig::default()) {
                Ok(device) => break device,
                Err(error) if Instant::now() > patience => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        prop_assert_eq!(device.copy(&[9, 8, 7]).unwrap(), [9, 8, 7]);
        Ok(())
    });
    outcome.unwrap();
}

/// What a server answers to one request.
#[derive(Clone, Debug)]
enum Answer {
    Right,
    WrongPayload(Vec<u8>),
    Error(u32),
    OtherId,
    Raw(Vec<u8>),
    Request,
    Silence,
    HangUp,
}

fn answer() -> impl Strategy<Value = Answer> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..64);
    prop_oneof![
        20 => Just(Answer::Right),
        3 => bytes().prop_map(Answer::WrongPayload),
        1 => any::<u32>().prop_map(Answer::Error),
        1 => Just(Answer::OtherId),
        1 => bytes().prop_map(Answer::Raw),
        1 => Just(Answer::Request),
        1 => Just(Answer::Silence),
        1 => Just(Answer::HangUp),
    ]
}

fn right_payload(request: &Request<'_>) -> Vec<u8> {
    match request {
        Request::Version { .. } => protocol::version_payload((0, 1), &protocol::own_capabilities()),
        Request::DeviceGetInfo => protocol::device_info_payload(),
        Request::RegionGetInfo { index } => protocol::region_info_payload(*index, layout::BAR0_SIZE),
        Request::IrqGetInfo { index } => protocol::irq_info_payload(*index, 16),
        Request::RegionRead { region, offset, count } => {
            protocol::access_payload(*offset, *region, *count, &vec![0x5a; *count as usize])
        }
        Request::RegionWrite { region, offset, data } => {
            protocol::access_payload(*offset, *region, data.len() as u32, &[])
        }
        _ => vec![],
    }
}

/// Serves one client by the list of answers; then hangs up.
fn serve(listener: &UnixListener, answers: Vec<Answer>) {
    let Ok((mut stream, _)) = listener.accept() else { return };
    for answer in answers {
        let mut header = [0; HEADER_BYTES];
        if stream.read_exact(&mut header).is_err() {
            return;
        }
        let Ok(header) = Header::decode(&header) else { return };
        let mut payload = vec![0; header.size as usize - HEADER_BYTES];
        if stream.read_exact(&mut payload).is_err() {
            return;
        }
        if header.no_reply {
            continue;
        }
        let right = Request::parse(header.command, &payload).map(|request| right_payload(&request)).unwrap_or_default();
        let reply = |header: Header, payload: &[u8]| {
            let size = (HEADER_BYTES + payload.len()) as u32;
            [&Header { size, reply: true, ..header }.encode()[..], payload].concat()
        };
        let bytes = match answer {
            Answer::Right => reply(header, &right),
            Answer::WrongPayload(bytes) => reply(header, &bytes),
            Answer::Error(errno) => reply(Header { error: Some(errno), ..header }, &[]),
            Answer::OtherId => reply(Header { id: header.id ^ 1, ..header }, &right),
            Answer::Raw(bytes) => bytes,
            // A request of its own first, as for memory that the client could not share.
            Answer::Request => [framed(3, 11, &[0; 24]), reply(header, &right)].concat(),
            Answer::Silence => vec![],
            Answer::HangUp => return,
        };
        let asked = matches!(&bytes[..], [3, 0, 11, 0, ..]) && bytes.len() > HEADER_BYTES;
        if stream.write_all(&bytes).is_err() {
            return;
        }
        if asked {
            // The client's answer to it.
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            let _ = stream.read_exact(&mut [0; HEADER_BYTES]);
            let _ = stream.set_read_timeout(None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_server_that_answers_anything_costs_an_error_in_bounded_time(
        greeted in any::<bool>(), answers in proptest::collection::vec(answer(), 0..24),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card.sock");
        let listener = UnixListener::bind(&path).unwrap();
        // Often let the greeting succeed: version, device, two regions, one interrupt.
        let mut all = if greeted { vec![Answer::Right; 5] } else { vec![] };
        all.extend(answers);
        let server = std::thread::spawn(move || serve(&listener, all));
        let started = Instant::now();
        if let Ok(bus) = VfioUserBus::connect(&path, Duration::from_millis(50)) {
            let mut word = [0; 4];
            let _ = bus.config_read(0, &mut word);
            let _ = bus.config_write(4, &word);
            for offset in [0, 4, 0x100] {
                let _ = bus.read32(offset);
                let _ = bus.write32(offset, 1);
                let _ = bus.post32(offset, 1);
            }
            let _ = bus.dma_unmap(Iova::new(0x1000), 4096);
            let _ = bus.set_bus_master(true);
            let _ = bus.reset();
            prop_assert!(bus.vectors() <= layout::MSIX_VECTORS);
            prop_assert_eq!(bus.iova_ranges(), vec![IovaRange { first: 0, last: (1 << 48) - 1 }]);
        }
        // No request waits longer than its time, and after one that did the connection is not used again.
        prop_assert!(started.elapsed() < FOREVER);
        server.join().unwrap();
    }
}
