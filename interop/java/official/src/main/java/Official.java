import com.google.api.gax.core.FixedCredentialsProvider;
import com.google.api.gax.rpc.ApiException;
import com.google.api.gax.rpc.UnaryCallable;
import com.google.auth.oauth2.GoogleCredentials;
import com.google.auth.oauth2.ServiceAccountCredentials;
import com.google.chat.v1.ChatServiceClient;
import com.google.chat.v1.ChatServiceSettings;
import com.google.chat.v1.CompleteImportSpaceRequest;
import com.google.chat.v1.CreateMembershipRequest;
import com.google.chat.v1.CreateSpaceRequest;
import com.google.chat.v1.DeleteSpaceRequest;
import com.google.chat.v1.GetSpaceRequest;
import com.google.chat.v1.ListMembershipsRequest;
import com.google.chat.v1.ListSpacesRequest;
import com.google.chat.v1.UpdateSpaceRequest;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import java.io.FileInputStream;
import java.net.URI;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Runs the table of calls with Google's own Java client, google-cloud-chat.
 *
 * <p>Usage: Official TABLE ENDPOINT KEY grpc|http. Prints a line of JSON for each call: its id, and
 * the answer or the error. The certificate comes from javax.net.ssl.trustStore.
 */
public final class Official {
  private static final String SCOPE = "https://www.googleapis.com/auth/";

  private interface Call {
    Message make(ChatServiceClient client, String json) throws Exception;
  }

  private static <Q extends Message, A extends Message> A call(
      UnaryCallable<Q, A> callable, Message.Builder builder, String json) throws Exception {
    JsonFormat.parser().merge(json, builder);
    @SuppressWarnings("unchecked")
    Q request = (Q) builder.build();
    return callable.call(request);
  }

  private static final Map<String, Call> CALLS =
      Map.of(
          "CreateSpace", (c, json) -> call(c.createSpaceCallable(), CreateSpaceRequest.newBuilder(), json),
          "GetSpace", (c, json) -> call(c.getSpaceCallable(), GetSpaceRequest.newBuilder(), json),
          "ListSpaces", (c, json) -> call(c.listSpacesCallable(), ListSpacesRequest.newBuilder(), json),
          "UpdateSpace", (c, json) -> call(c.updateSpaceCallable(), UpdateSpaceRequest.newBuilder(), json),
          "DeleteSpace", (c, json) -> call(c.deleteSpaceCallable(), DeleteSpaceRequest.newBuilder(), json),
          "CompleteImportSpace",
              (c, json) -> call(c.completeImportSpaceCallable(), CompleteImportSpaceRequest.newBuilder(), json),
          "CreateMembership",
              (c, json) -> call(c.createMembershipCallable(), CreateMembershipRequest.newBuilder(), json),
          "ListMemberships",
              (c, json) -> call(c.listMembershipsCallable(), ListMembershipsRequest.newBuilder(), json));

  public static void main(String[] args) throws Exception {
    JsonObject table = Table.read(args[0]);
    URI endpoint = URI.create(args[1]);
    String scheme = endpoint.getScheme().equals("http") ? "http://" : "";
    Map<String, ChatServiceClient> clients = new HashMap<>();
    for (Map.Entry<String, JsonElement> entry : table.getAsJsonObject("identities").entrySet()) {
      JsonObject identity = entry.getValue().getAsJsonObject();
      List<String> scopes = new ArrayList<>();
      identity.getAsJsonArray("scopes").forEach(scope -> scopes.add(SCOPE + scope.getAsString()));
      GoogleCredentials credentials;
      try (FileInputStream key = new FileInputStream(args[2])) {
        credentials = ServiceAccountCredentials.fromStream(key).createScoped(scopes);
      }
      if (identity.has("subject")) {
        credentials = credentials.createDelegated(identity.get("subject").getAsString());
      }
      ChatServiceSettings.Builder settings =
          args[3].equals("grpc") ? ChatServiceSettings.newBuilder() : ChatServiceSettings.newHttpJsonBuilder();
      settings
          .setEndpoint(scheme + endpoint.getHost() + ":" + endpoint.getPort())
          .setCredentialsProvider(FixedCredentialsProvider.create(credentials));
      settings.applyToAllUnaryMethods(
          method -> {
            method.setRetryableCodes();
            return null;
          });
      clients.put(entry.getKey(), ChatServiceClient.create(settings.build()));
    }
    // Whoever gives the tokens is the emulator, whatever stands before it.
    URI emulator = URI.create(Table.read(args[2]).get("token_uri").getAsString());
    Table.run(
        table,
        emulator,
        (identity, method, request) -> CALLS.get(method).make(clients.get(identity), request),
        Official::described);
    // The clients' threads would keep the program.
    System.exit(0);
  }

  private static JsonObject described(Exception thrown) throws Exception {
    if (!(thrown instanceof ApiException)) {
      throw thrown;
    }
    ApiException error = (ApiException) thrown;
    String code = error.getStatusCode().getCode().name();
    return Table.error(code, error.getReason(), error.getDomain(), error.getMetadata());
  }

  private Official() {}
}
