//! A running model.
//!
//! The only module of the crate with `unsafe`: it calls the shim of `shim.cpp` and reads and writes the model's port
//! words in place.
#![allow(unsafe_code)]

use crate::SimError;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Which way a port goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Driven by the test bench.
    Input,
    /// Driven by the model.
    Output,
}

/// What a model says about a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Its name in the Verilog.
    pub name: String,
    /// Its width in bits.
    pub width: usize,
    /// Its direction.
    pub direction: Direction,
}

/// A port of one model: cheap to copy, valid for that model only.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    index: u32,
    width: u32,
    model: u64,
}

impl Port {
    /// Width in bits.
    pub fn width(self) -> usize {
        self.width as usize
    }
}

#[repr(C)]
struct RawPort {
    name: *const c_char,
    width: u32,
    output: u32,
    data: *mut c_void,
}

type Handle = *mut c_void;

struct Functions {
    free: unsafe extern "C" fn(Handle),
    eval: unsafe extern "C" fn(Handle) -> c_int,
    tick: unsafe extern "C" fn(Handle, *mut u8) -> c_int,
    error: unsafe extern "C" fn(Handle) -> *const c_char,
    trace: unsafe extern "C" fn(Handle, *const c_char) -> c_int,
    coverage: unsafe extern "C" fn(Handle, *const c_char) -> c_int,
}

/// A design running in this process.
///
/// Set inputs, [`tick`](Model::tick), read outputs. Outputs show the state after the last tick; one that depends on an
/// input within the cycle needs [`eval`](Model::eval) after the input changed.
pub struct Model {
    name: String,
    id: u64,
    cycle: u64,
    handle: Handle,
    clock: *mut u8,
    data: Vec<*mut c_void>,
    ports: Vec<PortInfo>,
    functions: Functions,
    /// Where to leave the coverage gathered.
    coverage: Option<PathBuf>,
    // Last: the code must outlive the handle.
    _library: libloading::Library,
}

// SAFETY: the model's memory belongs to `Model` alone and the shim keeps no thread's state between calls; `Model` is
// not `Sync`, so calls never overlap.
unsafe impl Send for Model {}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("cycle", &self.cycle).finish_non_exhaustive()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if let Some(folder) = self.coverage.take() {
            let file = folder.join(format!("{}-{}-{}.dat", self.name, std::process::id(), self.id));
            if let Err(error) = self.write_coverage(&file) {
                tracing::error!(%error, "coverage is lost");
            }
        }
        // SAFETY: `handle` came from this library's `glovebox_new` and is freed once.
        unsafe { (self.functions.free)(self.handle) }
    }
}

impl Model {
    pub(super) fn open(name: &str, object: &Path, seed: u64, coverage: Option<PathBuf>) -> Result<Self, SimError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let failed = |reason: String| SimError::Load { path: object.to_path_buf(), reason };
        // SAFETY: the object was built by `Build` from our shim; its only initialisers are the C++ runtime's.
        let library = unsafe { libloading::Library::new(object) }.map_err(|e| failed(e.to_string()))?;
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: the shim defines the function with the type of the place it is stored in.
                *unsafe { library.get(concat!($name, "\0").as_bytes()) }.map_err(|e| failed(e.to_string()))?
            };
        }
        let new: unsafe extern "C" fn(u64) -> Handle = symbol!("glovebox_new");
        let list: unsafe extern "C" fn(Handle, *mut u64) -> *const RawPort = symbol!("glovebox_ports");
        let functions = Functions {
            free: symbol!("glovebox_free"),
            eval: symbol!("glovebox_eval"),
            tick: symbol!("glovebox_tick"),
            error: symbol!("glovebox_error"),
            trace: symbol!("glovebox_trace"),
            coverage: symbol!("glovebox_coverage"),
        };
        // The runtime takes 31 bits of seed; spread all 64 over them and avoid 0, which means "from the clock".
        let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33 | 1;
        // SAFETY: plain constructor call.
        let handle = unsafe { new(seed) };
        let mut count = 0;
        // SAFETY: the shim returns a table of `count` entries that lives as long as the handle.
        let raw = unsafe {
            let table = list(handle, &mut count);
            std::slice::from_raw_parts(table, count as usize)
        };
        let mut model = Self {
            name: name.to_string(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            cycle: 0,
            handle,
            clock: std::ptr::null_mut(),
            data: raw.iter().map(|p| p.data).collect(),
            ports: raw
                .iter()
                .map(|p| PortInfo {
                    // SAFETY: names are string literals of the shim.
                    name: unsafe { CStr::from_ptr(p.name) }.to_string_lossy().into_owned(),
                    width: p.width as usize,
                    direction: if p.output == 0 { Direction::Input } else { Direction::Output },
                })
                .collect(),
            functions,
            coverage,
            _library: library,
        };
        let clock = model.port("clock")?;
        model.clock = model.data[clock.index as usize].cast();
        for i in 0..model.ports.len() {
            if model.ports[i].direction == Direction::Input {
                let name = model.ports[i].name.clone();
                let port = model.port(&name)?;
                model.set(port, 0);
            }
        }
        // One evaluation with the clock low, or the first rising edge goes unseen.
        model.eval()?;
        Ok(model)
    }

    /// The top module's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All ports, in the order of the Verilog.
    pub fn ports(&self) -> &[PortInfo] {
        &self.ports
    }

    /// Ticks since the model was made.
    pub fn cycle(&self) -> u64 {
        self.cycle
    }

    /// The handle of a port.
    ///
    /// # Errors
    /// [`SimError::NoPort`].
    pub fn port(&self, name: &str) -> Result<Port, SimError> {
        let Some(index) = self.ports.iter().position(|p| p.name == name) else {
            return Err(SimError::NoPort {
                model: self.name.clone(),
                port: name.to_string(),
                known: self.ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "),
            });
        };
        Ok(Port { index: index as u32, width: self.ports[index].width as u32, model: self.id })
    }

    fn place(&self, port: Port) -> *mut c_void {
        assert_eq!(port.model, self.id, "a port handle of another model was used on `{}`", self.name);
        self.data[port.index as usize]
    }

    /// The value of a port; the low 64 bits of a wider one.
    ///
    /// # Panics
    /// If the port belongs to another model.
    pub fn get(&self, port: Port) -> u64 {
        let place = self.place(port);
        // SAFETY: Verilator stores a port of up to 8, 16, 32, 64 bits in a word of that size, a wider one in 32-bit
        // words; `place` points to it for as long as the model lives.
        unsafe {
            match port.width {
                0..=8 => u64::from(*place.cast::<u8>()),
                9..=16 => u64::from(*place.cast::<u16>()),
                17..=32 => u64::from(*place.cast::<u32>()),
                33..=64 => *place.cast::<u64>(),
                _ => place.cast::<u64>().read_unaligned(),
            }
        }
    }

    /// Drives an input with the low bits of `value`; bits of a wide port above the 64th become 0.
    ///
    /// # Panics
    /// If the port belongs to another model.
    pub fn set(&mut self, port: Port, value: u64) {
        let place = self.place(port);
        let value = if port.width < 64 { value & ((1 << port.width) - 1) } else { value };
        // SAFETY: as in `get`.
        unsafe {
            match port.width {
                0..=8 => *place.cast::<u8>() = value as u8,
                9..=16 => *place.cast::<u16>() = value as u16,
                17..=32 => *place.cast::<u32>() = value as u32,
                33..=64 => *place.cast::<u64>() = value,
                _ => {
                    let words = self.words_mut(port);
                    words.fill(0);
                    words[0] = value as u32;
                    words[1] = (value >> 32) as u32;
                }
            }
        }
    }

    /// The 32-bit words of a port wider than 64 bits, least significant first, in place.
    ///
    /// # Panics
    /// If the port belongs to another model or has 64 bits or fewer.
    pub fn words(&self, port: Port) -> &[u32] {
        let place = self.place(port);
        assert!(port.width > 64, "a port of {} bits is one word: use get", port.width);
        // SAFETY: Verilator stores `ceil(width / 32)` words there; the borrow keeps evaluation out.
        unsafe { std::slice::from_raw_parts(place.cast(), port.width().div_ceil(32)) }
    }

    /// The words of a wide input, to be written in place; bits above the width must stay 0.
    ///
    /// # Panics
    /// As [`words`](Self::words).
    pub fn words_mut(&mut self, port: Port) -> &mut [u32] {
        let place = self.place(port);
        assert!(port.width > 64, "a port of {} bits is one word: use set", port.width);
        // SAFETY: as in `words`; `&mut self` makes the borrow unique.
        unsafe { std::slice::from_raw_parts_mut(place.cast(), port.width().div_ceil(32)) }
    }

    /// Bits `64 * lane .. 64 * lane + 64` of a port of a multiple of 64 bits.
    ///
    /// # Panics
    /// If the port belongs to another model or has no such lane.
    pub fn lane(&self, port: Port, lane: usize) -> u64 {
        if port.width <= 64 {
            assert_eq!(lane, 0, "a port of {} bits has one lane", port.width);
            return self.get(port);
        }
        let words = &self.words(port)[2 * lane..2 * lane + 2];
        u64::from(words[0]) | u64::from(words[1]) << 32
    }

    /// Drives one 64-bit lane of an input of a multiple of 64 bits.
    ///
    /// # Panics
    /// As [`lane`](Self::lane).
    pub fn set_lane(&mut self, port: Port, lane: usize, value: u64) {
        if port.width <= 64 {
            assert_eq!(lane, 0, "a port of {} bits has one lane", port.width);
            return self.set(port, value);
        }
        let words = &mut self.words_mut(port)[2 * lane..2 * lane + 2];
        words[0] = value as u32;
        words[1] = (value >> 32) as u32;
    }

    fn stopped(&self) -> SimError {
        // SAFETY: the shim returns a string that lives until the next call.
        let message = unsafe { CStr::from_ptr((self.functions.error)(self.handle)) };
        SimError::Stopped {
            model: self.name.clone(),
            cycle: self.cycle,
            message: message.to_string_lossy().trim().to_string(),
        }
    }

    /// Settles the combinational logic for the present inputs, without a clock edge.
    ///
    /// # Errors
    /// [`SimError::Stopped`] if an assertion fails or the logic does not settle.
    pub fn eval(&mut self) -> Result<(), SimError> {
        // SAFETY: `handle` is live; the shim catches its exceptions.
        if unsafe { (self.functions.eval)(self.handle) } == 0 { Ok(()) } else { Err(self.stopped()) }
    }

    /// One clock: rising edge with the present inputs, falling edge.
    ///
    /// # Errors
    /// [`SimError::Stopped`] if an assertion fails or the logic does not settle.
    pub fn tick(&mut self) -> Result<(), SimError> {
        // SAFETY: `handle` is live and `clock` points to its one-bit clock port.
        if unsafe { (self.functions.tick)(self.handle, self.clock) } != 0 {
            return Err(self.stopped());
        }
        self.cycle += 1;
        Ok(())
    }

    /// Records waveforms into a VCD file from now on, until [`trace_off`](Self::trace_off) or the next call.
    ///
    /// # Errors
    /// [`SimError::NotBuilt`] without [`Trace::Vcd`](super::Trace), [`SimError::File`] if the file cannot be opened.
    pub fn trace_to(&mut self, path: &Path) -> Result<(), SimError> {
        let text = self.path(path)?;
        // SAFETY: `handle` is live, `text` a C string.
        match unsafe { (self.functions.trace)(self.handle, text.as_ptr()) } {
            0 => Ok(()),
            1 => Err(SimError::NotBuilt { model: self.name.clone(), what: "tracing" }),
            _ => Err(SimError::File {
                action: "open the trace",
                path: path.to_path_buf(),
                source: std::io::Error::other("the model could not open it"),
            }),
        }
    }

    /// Ends the trace and closes its file.
    pub fn trace_off(&mut self) {
        // SAFETY: `handle` is live; a null path means none.
        unsafe { (self.functions.trace)(self.handle, std::ptr::null()) };
    }

    /// Writes the line coverage gathered so far, in Verilator's format.
    ///
    /// # Errors
    /// [`SimError::NotBuilt`] without coverage in the build.
    pub fn write_coverage(&mut self, path: &Path) -> Result<(), SimError> {
        let text = self.path(path)?;
        // SAFETY: `handle` is live, `text` a C string.
        match unsafe { (self.functions.coverage)(self.handle, text.as_ptr()) } {
            0 => Ok(()),
            _ => Err(SimError::NotBuilt { model: self.name.clone(), what: "coverage" }),
        }
    }

    fn path(&self, path: &Path) -> Result<CString, SimError> {
        CString::new(path.as_os_str().as_encoded_bytes()).map_err(|e| SimError::File {
            action: "name",
            path: path.to_path_buf(),
            source: std::io::Error::other(e),
        })
    }
}
