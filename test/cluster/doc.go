// Package cluster holds tests of several servers that are one cluster: real
// processes, which speak to each other over loopback.
package cluster
