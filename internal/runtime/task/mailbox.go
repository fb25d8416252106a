package task

import (
	"sync"
	"sync/atomic"
)

// mailbox holds functions that are to run in the task's steps, in order.
type mailbox struct {
	wake  func()
	full  atomic.Bool
	mu    sync.Mutex // guards mails
	mails []func() error
}

// post adds a mail. Any goroutine may call it.
func (m *mailbox) post(mail func() error) {
	m.mu.Lock()
	m.mails = append(m.mails, mail)
	m.full.Store(true)
	m.mu.Unlock()
	m.wake()
}

// take returns the mails that have come, in order.
func (m *mailbox) take() []func() error {
	if !m.full.Load() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	mails := m.mails
	m.mails = nil
	m.full.Store(false)
	return mails
}
