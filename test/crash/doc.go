// Package crash kills a server in the middle of its work and looks at what is
// left: everything that was acknowledged, and nothing by halves.
package crash
