// What needs the newest symbols of the compiler's libstdc++ and glibc, beside what must stay the shared library's.
#include <dlfcn.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
static thread_local int counted = 0;
static std::once_flag once;
extern "C" int sample(int n) {
    std::unique_ptr<std::vector<int>[]> many(new std::vector<int>[n]);
    std::exception_ptr kept;
    try { throw std::runtime_error("kept"); } catch (...) { kept = std::current_exception(); }
    std::exception_ptr copy = kept;
    std::shared_ptr<int> shared(new int(1)), second = shared;
    std::function<int(int)> twice = [&](int x) { return x * 2 + *second - 1; };
    std::call_once(once, [] { counted = 1; });
    std::unordered_map<std::string, int> map{{"a", 1}};
    std::ostringstream out;
    out << std::regex_match("abc", std::regex("[a-c]+")) << map["a"] << counted;
    try { std::rethrow_exception(copy); } catch (const std::exception& error) { out << error.what(); }
    std::cout << "" << std::flush;
    return twice(n) + (out.str() == "111kept" ? 1000 : 0);
}

// One set of streams in the process: what was compiled in means the one that everybody else sees.
extern "C" int streams_are_shared() {
    return dlsym(RTLD_DEFAULT, "_ZSt4cout") == static_cast<void*>(&std::cout) &&
           dlsym(RTLD_DEFAULT, "_ZSt3cin") == static_cast<void*>(&std::cin);
}
