package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of /proc's times on Linux, whatever the kernel's own
// clock (USER_HZ).
const clockTick = time.Second / 100

// cpuTime is the user and system time that a process has used, in steps of
// 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of a process (Linux only): %w", err)
	}
	return parseStat(stat)
}

// parseStat reads fields 14 and 15, utime and stime. Field 2, the name in
// parentheses, may hold anything, so counting begins after its last one.
func parseStat(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, errors.New("process stat has no name")
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("process stat has %d fields after its name", len(fields))
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("utime: %w", err)
	}
	system, err := strconv.ParseInt(string(fields[12]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stime: %w", err)
	}
	return time.Duration(user+system) * clockTick, nil
}

// residentMiB is the memory of a process that is in RAM, in MiB.
func residentMiB(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process (Linux only): %w", err)
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			var kib float64
			if _, err := fmt.Sscanf(string(rest), "%f kB", &kib); err != nil {
				return 0, fmt.Errorf("VmRSS: %w", err)
			}
			return kib / 1024, nil
		}
	}
	return 0, errors.New("process status has no VmRSS")
}
