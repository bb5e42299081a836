package sys

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

// What the machine is like, in the shape that Vault answers it. What the system
// does not tell as Linux does is left at zero.

type hostInfo struct {
	Timestamp time.Time     `json:"timestamp"`
	CPU       []hostCPU     `json:"cpu"`
	CPUTimes  []hostCPUTime `json:"cpu_times"`
	Disk      []hostDisk    `json:"disk"`
	Host      hostDetails   `json:"host"`
	Memory    hostMemory    `json:"memory"`
}

type hostDetails struct {
	Hostname string `json:"hostname"`
	Uptime   uint64 `json:"uptime"`   // seconds
	BootTime uint64 `json:"bootTime"` // Unix
	Procs    uint64 `json:"procs"`
	OS       string `json:"os"`
	Platform string `json:"platform"`
	Family   string `json:"platformFamily"`
	Release  string `json:"platformVersion"`
	Kernel   string `json:"kernelVersion"`
	Arch     string `json:"kernelArch"`
	VMSystem string `json:"virtualizationSystem"`
	VMRole   string `json:"virtualizationRole"`
	HostID   string `json:"hostId"`
}

type hostCPU struct {
	CPU        int      `json:"cpu"`
	VendorID   string   `json:"vendorId"`
	Family     string   `json:"family"`
	Model      string   `json:"model"`
	Stepping   int      `json:"stepping"`
	PhysicalID string   `json:"physicalId"`
	CoreID     string   `json:"coreId"`
	Cores      int      `json:"cores"`
	ModelName  string   `json:"modelName"`
	MHz        float64  `json:"mhz"`
	CacheSize  int      `json:"cacheSize"` // KiB
	Flags      []string `json:"flags"`
	Microcode  string   `json:"microcode"`
}

// A hostCPUTime is in seconds since the machine started.
type hostCPUTime struct {
	CPU       string  `json:"cpu"`
	User      float64 `json:"user"`
	System    float64 `json:"system"`
	Idle      float64 `json:"idle"`
	Nice      float64 `json:"nice"`
	IOWait    float64 `json:"iowait"`
	IRQ       float64 `json:"irq"`
	SoftIRQ   float64 `json:"softirq"`
	Steal     float64 `json:"steal"`
	Guest     float64 `json:"guest"`
	GuestNice float64 `json:"guestNice"`
}

type hostDisk struct {
	Path        string  `json:"path"`
	Type        string  `json:"fstype"`
	Total       uint64  `json:"total"` // bytes
	Free        uint64  `json:"free"`
	Used        uint64  `json:"used"`
	UsedPercent float64 `json:"usedPercent"`
	Inodes      uint64  `json:"inodesTotal"`
	InodesUsed  uint64  `json:"inodesUsed"`
	InodesFree  uint64  `json:"inodesFree"`
	InodesPct   float64 `json:"inodesUsedPercent"`
}

type hostMemory struct {
	Total       uint64  `json:"total"` // bytes
	Available   uint64  `json:"available"`
	Used        uint64  `json:"used"`
	UsedPercent float64 `json:"usedPercent"`
	Free        uint64  `json:"free"`
	Buffers     uint64  `json:"buffers"`
	Cached      uint64  `json:"cached"`
	SwapTotal   uint64  `json:"swapTotal"`
	SwapFree    uint64  `json:"swapFree"`
}

func (s *System) hostInfo(v engine.View, _ engine.None) (*hostInfo, error) {
	return readHost("/proc", v.Now().UTC()), nil
}

// readHost reads what a proc file system says.
func readHost(proc string, now time.Time) *hostInfo {
	a := &hostInfo{Timestamp: now, CPU: readCPUs(proc), CPUTimes: []hostCPUTime{}, Disk: readDisks(proc), Memory: readMemory(proc),
		Host: hostDetails{Hostname: hostname(), OS: runtime.GOOS, Platform: runtime.GOOS, Arch: runtime.GOARCH}}
	a.readStat(proc)
	if b, err := os.ReadFile(filepath.Join(proc, "uptime")); err == nil {
		whole, _, _ := strings.Cut(string(b), ".")
		a.Host.Uptime = count(whole)
	}
	if b, err := os.ReadFile(filepath.Join(proc, "sys/kernel/osrelease")); err == nil {
		a.Host.Kernel = strings.TrimSpace(string(b))
	}
	return a
}

// count is a number, or 0 where there is none.
func count(s string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func decimal(s string) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return 0
	}
	return f
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole) * 100
}

func readCPUs(proc string) []hostCPU {
	page, err := os.ReadFile(filepath.Join(proc, "cpuinfo"))
	if err != nil {
		return []hostCPU{}
	}
	all := []hostCPU{}
	for line := range strings.Lines(string(page)) {
		name, value, _ := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if name == "processor" {
			all = append(all, hostCPU{CPU: int(count(value)), Cores: 1, Flags: []string{}})
		}
		if len(all) == 0 {
			continue
		}
		c := &all[len(all)-1]
		switch name {
		case "vendor_id":
			c.VendorID = value
		case "cpu family":
			c.Family = value
		case "model":
			c.Model = value
		case "stepping":
			c.Stepping = int(count(value))
		case "physical id":
			c.PhysicalID = value
		case "core id":
			c.CoreID = value
		case "model name":
			c.ModelName = value
		case "cpu MHz":
			c.MHz = decimal(value)
		case "cache size":
			c.CacheSize = int(count(strings.TrimSuffix(value, " KB")))
		case "flags", "Features":
			c.Flags = strings.Fields(value)
		case "microcode":
			c.Microcode = value
		}
	}
	return all
}

// ticksPerSecond is the unit of /proc/stat, the same on all of Linux.
const ticksPerSecond = 100

func (a *hostInfo) readStat(proc string) {
	page, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(page)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "btime":
			a.Host.BootTime = count(words[1])
		case len(words) == 2 && words[0] == "processes":
			a.Host.Procs = count(words[1])
		case len(words) == 11 && strings.HasPrefix(words[0], "cpu") && words[0] != "cpu":
			var t [10]float64
			for i, w := range words[1:] {
				t[i] = decimal(w) / ticksPerSecond
			}
			a.CPUTimes = append(a.CPUTimes, hostCPUTime{CPU: words[0], User: t[0], Nice: t[1], System: t[2], Idle: t[3], IOWait: t[4],
				IRQ: t[5], SoftIRQ: t[6], Steal: t[7], Guest: t[8], GuestNice: t[9]})
		}
	}
}

// readDisks tells of the file systems that lie on a device.
func readDisks(proc string) []hostDisk {
	page, err := os.ReadFile(filepath.Join(proc, "self/mounts"))
	if err != nil {
		return []hostDisk{}
	}
	all, seen := []hostDisk{}, map[string]bool{}
	for line := range strings.Lines(string(page)) {
		words := strings.Fields(line)
		if len(words) < 3 || !strings.HasPrefix(words[0], "/dev/") || seen[words[0]] {
			continue
		}
		seen[words[0]] = true
		if d, ok := diskAt(words[1]); ok {
			d.Path, d.Type = words[1], words[2]
			d.Used, d.InodesUsed = d.Total-d.Free, d.Inodes-d.InodesFree
			d.UsedPercent, d.InodesPct = percent(d.Used, d.Total), percent(d.InodesUsed, d.Inodes)
			all = append(all, d)
		}
	}
	return all
}

func readMemory(proc string) (m hostMemory) {
	page, err := os.ReadFile(filepath.Join(proc, "meminfo"))
	if err != nil {
		return m
	}
	into := map[string]*uint64{"MemTotal:": &m.Total, "MemAvailable:": &m.Available, "MemFree:": &m.Free, "Buffers:": &m.Buffers,
		"Cached:": &m.Cached, "SwapTotal:": &m.SwapTotal, "SwapFree:": &m.SwapFree}
	for line := range strings.Lines(string(page)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		if p := into[words[0]]; p != nil {
			*p = count(words[1]) << 10
		}
	}
	m.Used = m.Total - m.Available
	m.UsedPercent = percent(m.Used, m.Total)
	return m
}
