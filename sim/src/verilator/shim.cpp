// The C++ side of Glovebox's Verilator binding. `@` is the model's class; the port table is filled in at build time.
#include <cstdarg>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "verilated.h"
#include "@.h"
#ifdef GLOVEBOX_TRACE
#include "verilated_vcd_c.h"
#endif
#ifdef GLOVEBOX_COVERAGE
#include "verilated_cov.h"
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

struct GloveboxPort {
  const char* name;
  uint32_t width;
  uint32_t output;
  void* data;
};

namespace {
// Messages of the model that runs on this thread.
thread_local std::string messages;
thread_local bool stopped = false;

void note(const char* what, const char* file, int line, const char* where) {
  messages += std::string(what) + " at " + (file ? file : "?") + ":" + std::to_string(line);
  if (where && *where) messages += std::string(" in ") + where;
}

struct Instance {
  VerilatedContext context;
  @* model = nullptr;
  std::string error;
#ifdef GLOVEBOX_TRACE
  VerilatedVcdC* trace = nullptr;
#endif
  std::vector<GloveboxPort> ports;

  bool eval() {
    messages.clear();
    stopped = false;
    try {
      model->eval();
    } catch (const std::exception&) {
      stopped = true;
    }
    if (!stopped) return true;
    error = messages;
    return false;
  }
};
}  // namespace

int glovebox_printf(const char* format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  const int length = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  messages += text;
  return length;
}

void vl_stop(const char* file, int line, const char* where) VL_MT_UNSAFE {
  note("stopped", file, line, where);
  stopped = true;
}

void vl_fatal(const char* file, int line, const char* where, const char* message) VL_MT_UNSAFE {
  note(message ? message : "fatal error", file, line, where);
  throw std::runtime_error("fatal");
}

EXPORT void* glovebox_new(uint64_t seed) {
  Instance* self = new Instance;
  self->context.fatalOnError(false);
  self->context.randSeed(static_cast<int>(seed ? seed : 1));
  self->context.randReset(2);
#ifdef GLOVEBOX_TRACE
  self->context.traceEverOn(true);
#endif
  @* const model = self->model = new @{&self->context, "top"};
  self->ports = {
/*PORTS*/
  };
  return self;
}

EXPORT void glovebox_free(void* handle) {
  Instance* self = static_cast<Instance*>(handle);
#ifdef GLOVEBOX_TRACE
  if (self->trace) {
    self->trace->close();
    delete self->trace;
  }
#endif
  self->model->final();
  delete self->model;
  delete self;
}

EXPORT const GloveboxPort* glovebox_ports(void* handle, uint64_t* count) {
  Instance* self = static_cast<Instance*>(handle);
  *count = self->ports.size();
  return self->ports.data();
}

EXPORT int glovebox_eval(void* handle) { return static_cast<Instance*>(handle)->eval() ? 0 : 1; }

EXPORT int glovebox_tick(void* handle, uint8_t* clock) {
  Instance* self = static_cast<Instance*>(handle);
  for (uint8_t level = 2; level-- > 0;) {
    *clock = level;
    if (!self->eval()) return 1;
#ifdef GLOVEBOX_TRACE
    if (self->trace) self->trace->dump(self->context.time());
#endif
    self->context.timeInc(1);
  }
  return 0;
}

EXPORT const char* glovebox_error(void* handle) { return static_cast<Instance*>(handle)->error.c_str(); }

EXPORT int glovebox_trace(void* handle, const char* path) {
#ifdef GLOVEBOX_TRACE
  Instance* self = static_cast<Instance*>(handle);
  if (self->trace) {
    self->trace->close();
    delete self->trace;
    self->trace = nullptr;
  }
  if (path) {
    self->trace = new VerilatedVcdC;
    self->model->trace(self->trace, 99);
    self->trace->open(path);
    if (!self->trace->isOpen()) return 2;
  }
  return 0;
#else
  (void)handle;
  (void)path;
  return 1;
#endif
}

EXPORT int glovebox_coverage(void* handle, const char* path) {
#ifdef GLOVEBOX_COVERAGE
  static_cast<Instance*>(handle)->context.coveragep()->write(path);
  return 0;
#else
  (void)handle;
  (void)path;
  return 1;
#endif
}
