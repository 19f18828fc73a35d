//go:build tools

// Package tools names what is measured beside polybus over NATS: go.mod has its version.
package tools

import _ "github.com/nats-io/nats-server/v2"
