//go:build tools

// Package tools names the command line of NATS: go.mod has its version.
package tools

import _ "github.com/nats-io/natscli/nats"
