package main

import (
	"context"
	"fmt"
	"net"

	"cloud.google.com/go/chat/apiv1/chatpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/types/known/emptypb"
)

// chat serves Google Chat by asking another server, through the generated messages: what
// comes out has been read and written by Go's protobuf and gRPC.
type chat struct {
	chatpb.UnimplementedChatServiceServer
	backend chatpb.ChatServiceClient
}

// ask makes the call with the caller's credentials. Its error, a status with its
// details, is handed on as it is.
func ask[Q, A any](ctx context.Context, request Q, method func(context.Context, Q, ...grpc.CallOption) (A, error)) (A, error) {
	if came, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, metadata.MD{"authorization": came.Get("authorization")})
	}
	return method(ctx, request)
}

func (c *chat) CreateSpace(ctx context.Context, request *chatpb.CreateSpaceRequest) (*chatpb.Space, error) {
	return ask(ctx, request, c.backend.CreateSpace)
}

func (c *chat) GetSpace(ctx context.Context, request *chatpb.GetSpaceRequest) (*chatpb.Space, error) {
	return ask(ctx, request, c.backend.GetSpace)
}

func (c *chat) ListSpaces(ctx context.Context, request *chatpb.ListSpacesRequest) (*chatpb.ListSpacesResponse, error) {
	return ask(ctx, request, c.backend.ListSpaces)
}

func (c *chat) UpdateSpace(ctx context.Context, request *chatpb.UpdateSpaceRequest) (*chatpb.Space, error) {
	return ask(ctx, request, c.backend.UpdateSpace)
}

func (c *chat) DeleteSpace(ctx context.Context, request *chatpb.DeleteSpaceRequest) (*emptypb.Empty, error) {
	return ask(ctx, request, c.backend.DeleteSpace)
}

func (c *chat) CompleteImportSpace(ctx context.Context, request *chatpb.CompleteImportSpaceRequest) (*chatpb.CompleteImportSpaceResponse, error) {
	return ask(ctx, request, c.backend.CompleteImportSpace)
}

func (c *chat) CreateMembership(ctx context.Context, request *chatpb.CreateMembershipRequest) (*chatpb.Membership, error) {
	return ask(ctx, request, c.backend.CreateMembership)
}

func (c *chat) ListMemberships(ctx context.Context, request *chatpb.ListMembershipsRequest) (*chatpb.ListMembershipsResponse, error) {
	return ask(ctx, request, c.backend.ListMemberships)
}

func relay(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: interop relay BACKEND CERTIFICATE")
	}
	connection, err := connect(args[0], args[1])
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	chatpb.RegisterChatServiceServer(server, &chat{backend: chatpb.NewChatServiceClient(connection)})
	reflection.Register(server)
	fmt.Printf("listening at http://%s\n", listener.Addr())
	return server.Serve(listener)
}
