package server

import "runtime"

// heapFloor is how much garbage may gather, in bytes, before the collector runs
// in a process that holds little.
const heapFloor = 64 << 20

// keepHeapFloor makes the collector reckon with memory that is never touched,
// and so costs address space only. A server with few secrets lives in a few
// megabytes; without the floor it would be collected sixty times a second at
// full load, which was a sixth of its CPU. It returns what ends it.
func keepHeapFloor() (release func()) {
	untouched := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(untouched) }
}
