import com.google.api.gax.core.FixedCredentialsProvider;
import com.google.api.gax.rpc.ApiException;
import com.google.api.gax.rpc.UnaryCallable;
import com.google.auth.oauth2.GoogleCredentials;
import com.google.auth.oauth2.ServiceAccountCredentials;
import com.google.chat.v1.ChatServiceClient;
import com.google.chat.v1.ChatServiceSettings;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.Message;
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

  /** Calls a method by the callable that the client has for it. */
  @SuppressWarnings("unchecked")
  private static Message call(ChatServiceClient client, String method, String json) throws Exception {
    Object callable = ChatServiceClient.class.getMethod(Table.camel(method) + "Callable").invoke(client);
    return ((UnaryCallable<Message, Message>) callable).call(Table.request(method, json));
  }

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
        (identity, method, request) -> call(clients.get(identity), method, request),
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
