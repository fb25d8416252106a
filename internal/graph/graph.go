// Package graph is the shape of a job: the steps a user's program has declared, and the tasks they are run as.
//
// A Graph holds nodes in the order in which they were declared, which is topological. Plan checks it and cuts it into vertices: chains of
// nodes that run in one task because their records need not change the subtask.
//
//   - Every node has an operator id that does not change between runs: of the user's name, or derived from the nearest named node
//     upstream and the way from there.
//   - What a node does at run time is carried along as Payload and not looked at here.
//   - A loop is closed by a feedback edge from its tail to its head, which are nodes. That edge is no input, so that the order stays
//     topological; it keeps its subtask.
package graph

import (
	"github.com/weirstream/weir/internal/job"
)

// Partitioning says how an edge picks the subtask that a record goes to.
type Partitioning int

const (
	// Unset means forward where the parallelism is the same on both sides, and rebalance elsewhere.
	Unset Partitioning = iota
	// Forward keeps records in the subtask of the same index.
	Forward
	// Rebalance deals records out evenly.
	Rebalance
	// Broadcast sends records to every subtask.
	Broadcast
	// Hash sends records to the subtask that owns their key's group.
	Hash
	// Custom sends records where a function of the user says.
	Custom
)

// String returns the name that plans and messages use.
func (p Partitioning) String() string {
	return [...]string{"unset", "forward", "rebalance", "broadcast", "hash", "custom"}[p]
}

// Kind tells nodes apart by what the outside has to do with them.
type Kind int

const (
	// Step turns records into records.
	Step Kind = iota
	// Source reads records from outside.
	Source
	// Sink writes records to the outside.
	Sink
)

// Graph is a job as it was declared.
type Graph struct {
	Nodes []*Node
}

// Node is one step.
type Node struct {
	Kind Kind
	// Name is the user's id of the step, or the name of its operation, such as "map", if it has none.
	Name  string
	Named bool
	// Former are ids that the step had in earlier versions of the program.
	Former []string
	// Parallelism and MaxParallelism are 0 where the job's default holds.
	Parallelism    int
	MaxParallelism int
	// Keyed says that the node's state belongs to keys, and its records to key groups.
	Keyed  bool
	Inputs []Edge
	// Head begins a loop, and thereby a task. LoopsTo, set on a tail, is the head to which its feedback edge leads.
	Head    bool
	LoopsTo *Node
	// Location says what a source reads or a sink writes.
	Location string
	// Payload is what the node is at run time.
	Payload any

	id     job.OperatorID
	former []job.OperatorID
}

// ID returns what the node's state is found by. It is set by Plan.
func (n *Node) ID() job.OperatorID { return n.id }

// FormerIDs returns the ids under which a checkpoint of an earlier version of the program may hold the node's state, the most likely first.
// They are set by Plan.
func (n *Node) FormerIDs() []job.OperatorID { return n.former }

// Edge leads from an output of one node to another node.
type Edge struct {
	From *Node
	Slot int // which output of From; 0 is the main one
	Partitioning
	// Payload is what the edge is at run time.
	Payload any
}

// Plan is a job as it will be run.
type Plan struct {
	// Vertices in topological order: each comes after all that it reads from.
	Vertices []*Vertex
	// Loops in the order of their tails.
	Loops    []Loop
	byNode   map[*Node]*Vertex
	of       *Graph
	defaults Defaults
}

// Subtasks returns how many subtasks the plan has.
func (p *Plan) Subtasks() (n int) {
	for _, v := range p.Vertices {
		n += v.Parallelism
	}
	return n
}

// Loop is a part of a plan in which records go round.
type Loop struct {
	Head, Tail *Node
	// Vertices on the ways from the head to the tail, these two included, in their order in the plan.
	Vertices []*Vertex
}

// Vertex is a chain of nodes that run in one task.
type Vertex struct {
	Index int // in Plan.Vertices
	// Nodes of the chain, each before those it sends to. The first is the head.
	Nodes          []*Node
	Parallelism    int
	MaxParallelism int
	ExplicitMax    bool // set by the user, so that a checkpoint with another one is refused
	Inputs         []Input
}

// Input is an edge between two vertices.
type Input struct {
	Edge
	FromVertex *Vertex
}

// ID returns the id of the chain's head.
func (v *Vertex) ID() job.VertexID { return job.VertexID(v.Nodes[0].id) }

// VertexOf returns the vertex that a node runs in.
func (p *Plan) VertexOf(n *Node) *Vertex { return p.byNode[n] }

// Chained reports whether an edge stays within a task.
func (p *Plan) Chained(e Edge, to *Node) bool { return p.byNode[e.From] == p.byNode[to] }
