package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// DefaultAddress is where a server listens if nobody says; if it is taken, at any free port beside it.
const DefaultAddress = "127.0.0.1:8081"

// NotLoopbackError says that an address could be reached from other machines, and that nobody has said that it may.
type NotLoopbackError struct{ Address string }

// Error says what is wrong.
func (e *NotLoopbackError) Error() string {
	return fmt.Sprintf("%s can be reached from other machines, and whoever reaches it can read all about the job: there is neither a password nor encryption", e.Address)
}

// CheckAddress returns an address with its host, which is 127.0.0.1 if there is only a port. It is a *NotLoopbackError if other machines could reach
// it, unless they may. Empty means DefaultAddress.
func CheckAddress(address string, unprotected bool) (string, error) {
	if address == "" {
		return "", nil
	}
	if _, err := strconv.ParseUint(address, 10, 16); err == nil {
		address = "127.0.0.1:" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%q is no address such as %s", address, DefaultAddress)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q is no address such as %s: its port is not a number up to 65535", address, DefaultAddress)
	}
	if !unprotected && !isLoopback(host) {
		return "", &NotLoopbackError{address}
	}
	return address, nil
}

// isLoopback reports whether a host is reached from this machine only. Names may mean anything, but for one.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Server serves a handler on one address until it is closed.
type Server struct {
	server   http.Server
	listener net.Listener
	ended    chan struct{}
}

// Serve listens on an address that CheckAddress has returned, and serves. An address that was asked for must be free. On a loopback address only
// requests to a loopback name are answered, so that a page from elsewhere cannot read the answers by giving its own name this address.
func Serve(address string, h http.Handler, logger *slog.Logger) (*Server, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	if host, _, err := net.SplitHostPort(l.Addr().String()); err == nil && isLoopback(host) {
		h = loopbackOnly(h)
	}
	s := &Server{listener: l, ended: make(chan struct{})}
	s.server = http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
	go func() {
		defer close(s.ended)
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			logger.Warn("the REST server has ended", "error", err)
		}
	}()
	return s, nil
}

func listen(address string) (net.Listener, error) {
	if address != "" {
		return net.Listen("tcp", address)
	}
	l, err := net.Listen("tcp", DefaultAddress)
	if errors.Is(err, syscall.EADDRINUSE) {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	return l, err
}

func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLoopback(strings.Trim(host, "[]")) {
			http.Error(w, "this server answers to localhost only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// URL returns where the server is found.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close ends the server and waits until nothing of it runs. Requests that are being answered are cut off.
func (s *Server) Close() error {
	err := s.server.Close()
	<-s.ended
	return err
}
