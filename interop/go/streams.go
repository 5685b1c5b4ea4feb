package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	streamspb "interop/streams"
)

// counter sends a number only when the client has asked for it: a client that reads the
// whole stream before it hands on the first number gets nothing.
type counter struct {
	streamspb.UnimplementedStreamsServer
	released chan struct{}
}

func (c *counter) Count(request *streamspb.CountRequest, stream grpc.ServerStreamingServer[streamspb.Number]) error {
	for number := int32(1); number <= request.GetTo(); number++ {
		if number > 1 {
			select {
			case <-c.released:
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		}
		if number == request.GetFailsAt() {
			failure, err := status.New(codes.ResourceExhausted, "no number is left: ü").WithDetails(
				&errdetails.ErrorInfo{Reason: "COUNTED_OUT", Domain: "streams", Metadata: map[string]string{"at": fmt.Sprint(number)}})
			if err != nil {
				return err
			}
			return failure.Err()
		}
		if err := stream.Send(&streamspb.Number{Value: number}); err != nil {
			return err
		}
	}
	return nil
}

func (c *counter) Release(ctx context.Context, _ *streamspb.ReleaseRequest) (*streamspb.ReleaseResponse, error) {
	select {
	case c.released <- struct{}{}:
		return &streamspb.ReleaseResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// streams serves the counter through grpc-gateway, with the options that this has unless
// told otherwise.
func streams(args []string) error {
	if len(args) != 0 {
		return fmt.Errorf("usage: interop streams")
	}
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	streamspb.RegisterStreamsServer(server, &counter{released: make(chan struct{})})
	go server.Serve(backend)
	connection, err := connect("http://"+backend.Addr().String(), "")
	if err != nil {
		return err
	}
	mux := runtime.NewServeMux()
	if err := streamspb.RegisterStreamsHandler(context.Background(), mux, connection); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening at http://%s\n", listener.Addr())
	return http.Serve(listener, mux)
}
