// The smallest card between buses that cocotbext-axi can drive. CARD is its top module.
//
// `defect` plants one error between card and buses, so that the check can be seen to find it.
`define MASTER(P) \
  wire [63:0] P``_araddr, P``_awaddr, P``_wstrb; \
  wire [7:0] P``_arlen, P``_awlen; \
  wire [2:0] P``_arsize, P``_awsize; \
  wire [1:0] P``_arburst, P``_awburst; \
  wire P``_arvalid, P``_rready, P``_awvalid, P``_wlast, P``_wvalid, P``_bready; \
  wire [511:0] P``_wdata; \
  logic [511:0] P``_rdata; \
  logic [1:0] P``_rresp, P``_bresp; \
  logic P``_arready, P``_rlast, P``_rvalid, P``_awready, P``_wready, P``_bvalid; \
  logic [7:0] P``_rid, P``_bid; \
  wire [7:0] P``_arid = 8'd0, P``_awid = 8'd0; \
  axi_rules #(.NAME(`"P`")) P``_rules (.clock, .reset, .araddr(P``_araddr), .awaddr(P``_awaddr), .arlen(P``_arlen), \
    .awlen(P``_awlen), .arsize(P``_arsize), .awsize(P``_awsize), .arburst(P``_arburst), .awburst(P``_awburst), \
    .arvalid(P``_arvalid), .arready(P``_arready), .awvalid(P``_awvalid), .awready(P``_awready), .wdata(P``_wdata), \
    .wstrb(P``_wstrb), .wlast(P``_wlast), .wvalid(P``_wvalid), .wready(P``_wready), .rlast(P``_rlast), \
    .rvalid(P``_rvalid), .rready(P``_rready), .bvalid(P``_bvalid), .bready(P``_bready));

module axi_check (
    input logic clock,
    input logic reset,
    input logic [3:0] defect
);
  `MASTER(m_axi)
  `MASTER(m_mem)
  logic [15:0] s_axil_awaddr, s_axil_araddr;
  logic [31:0] s_axil_wdata;
  wire [31:0] s_axil_rdata;
  logic [3:0] s_axil_wstrb;
  wire [1:0] s_axil_bresp, s_axil_rresp;
  logic s_axil_awvalid, s_axil_wvalid, s_axil_bready, s_axil_arvalid, s_axil_rready;
  wire s_axil_awready, s_axil_wready, s_axil_bvalid, s_axil_arready, s_axil_rvalid;
  wire [15:0] interrupt_request;
  wire idle;
  axil_rules s_axil_rules (.clock, .reset, .awvalid(s_axil_awvalid), .awready(s_axil_awready), .wvalid(s_axil_wvalid),
    .wready(s_axil_wready), .bvalid(s_axil_bvalid), .bready(s_axil_bready), .arvalid(s_axil_arvalid),
    .arready(s_axil_arready), .rvalid(s_axil_rvalid), .rready(s_axil_rready), .bresp(s_axil_bresp),
    .rresp(s_axil_rresp), .rdata(s_axil_rdata));

  // Defects: 1 a bit of every beat read but the last of its burst, 2 WLAST, 3 an AR that moves while it waits, 4 a burst length, 5 an answer withdrawn,
  // 6 a burst across 4 KiB.
  wire wlast, rvalid;
  wire [7:0] awlen;
  wire [63:0] araddr, mem_awaddr;
  reg waits = 0;
  always @(posedge clock) waits <= m_axi_arvalid & ~m_axi_arready;
  reg [3:0] answers = 0;
  always @(posedge clock) answers <= (rvalid & ~s_axil_rready) ? answers + 1 : 0;
  assign m_axi_wlast = wlast & (defect != 2);
  assign m_axi_araddr = araddr ^ {57'd0, waits & (defect == 3), 6'd0};
  assign m_axi_awlen = awlen - {7'd0, (defect == 4) & (awlen != 0)};
  assign s_axil_rvalid = rvalid & ~(defect == 5 & answers == 1);
  assign m_mem_awaddr = mem_awaddr | (defect == 6 ? 64'hfc0 : 64'd0);
  wire [511:0] rdata = m_axi_rdata ^ {511'd0, (defect == 1) & ~m_axi_rlast};

  `CARD card (
    .clock, .reset, .build_id_0(64'h0123_4567_89ab_cdef), .build_id_1(64'hfedc_ba98_7654_3210),
    .card_memory_beats(32'd`MEMORY_BEATS),
    .s_axil_awaddr, .s_axil_awvalid, .s_axil_awready, .s_axil_wdata, .s_axil_wstrb, .s_axil_wvalid, .s_axil_wready,
    .s_axil_bresp, .s_axil_bvalid, .s_axil_bready, .s_axil_araddr, .s_axil_arvalid, .s_axil_arready, .s_axil_rdata,
    .s_axil_rresp, .s_axil_rvalid(rvalid), .s_axil_rready,
    .m_axi_araddr(araddr), .m_axi_arlen, .m_axi_arsize, .m_axi_arburst, .m_axi_arvalid, .m_axi_arready,
    .m_axi_rdata(rdata), .m_axi_rresp, .m_axi_rlast, .m_axi_rvalid, .m_axi_rready,
    .m_axi_awaddr, .m_axi_awlen(awlen), .m_axi_awsize, .m_axi_awburst, .m_axi_awvalid, .m_axi_awready,
    .m_axi_wdata, .m_axi_wstrb, .m_axi_wlast(wlast), .m_axi_wvalid, .m_axi_wready,
    .m_axi_bresp, .m_axi_bvalid, .m_axi_bready,
    .m_mem_araddr_0(m_mem_araddr), .m_mem_arlen_0(m_mem_arlen), .m_mem_arsize_0(m_mem_arsize),
    .m_mem_arburst_0(m_mem_arburst), .m_mem_arvalid_0(m_mem_arvalid), .m_mem_arready_0(m_mem_arready),
    .m_mem_rdata_0(m_mem_rdata), .m_mem_rresp_0(m_mem_rresp), .m_mem_rlast_0(m_mem_rlast),
    .m_mem_rvalid_0(m_mem_rvalid), .m_mem_rready_0(m_mem_rready),
    .m_mem_awaddr_0(mem_awaddr), .m_mem_awlen_0(m_mem_awlen), .m_mem_awsize_0(m_mem_awsize),
    .m_mem_awburst_0(m_mem_awburst), .m_mem_awvalid_0(m_mem_awvalid), .m_mem_awready_0(m_mem_awready),
    .m_mem_wdata_0(m_mem_wdata), .m_mem_wstrb_0(m_mem_wstrb), .m_mem_wlast_0(m_mem_wlast),
    .m_mem_wvalid_0(m_mem_wvalid), .m_mem_wready_0(m_mem_wready),
    .m_mem_bresp_0(m_mem_bresp), .m_mem_bvalid_0(m_mem_bvalid), .m_mem_bready_0(m_mem_bready),
    .interrupt_request, .idle
  );
endmodule
